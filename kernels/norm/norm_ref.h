#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/elementwise/activation_ref.h"
#include "kernels/norm/norm.h"

namespace graft::ref {

// Group norm is the general case: batch norm is one sample whose groups are single channels, layer norm has one row to
// a sample and one group.
// f(channel, element) for every element of group g of sample b.
template <class F>
void for_group(const GroupNormParams& p, int64_t b, int64_t g, F f) {
  const int64_t width = p.channels / p.groups;
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t c = g * width; c < (g + 1) * width; ++c) f(c, (b * p.rows + r) * p.channels + c);
}

template <class T>
void group_norm_forward(Context&, T* y, T* mean, T* rstd, const T* x, const T* weight, const T* bias, const GroupNormParams& p) {
  using std::sqrt;
  const int64_t size = p.channels / p.groups;
  const T n = T(p.rows * size);
  for (int64_t b = 0; b < p.batches; ++b)
    for (int64_t g = 0; g < p.groups; ++g) {
      T& m = mean[b * p.groups + g];
      T& s = rstd[b * p.groups + g];
      T sum = 0, squares = 0;
      for_group(p, b, g, [&](int64_t, int64_t i) { sum += x[i]; });
      m = sum / n;
      for_group(p, b, g, [&](int64_t, int64_t i) { squares += (x[i] - m) * (x[i] - m); });
      s = T(1) / sqrt(squares / n + T(p.eps));
      for_group(p, b, g,
                [&](int64_t c, int64_t i) { y[i] = (x[i] - m) * s * (weight ? weight[c] : T(1)) + (bias ? bias[c] : T(0)); });
    }
}

template <class T>
void group_norm_backward(Context&, T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, const T* mean,
                         const T* rstd, const GroupNormParams& p) {
  const int64_t size = p.channels / p.groups;
  const T n = T(p.rows * size);
  if (dweight) std::fill_n(dweight, p.channels, T(0));
  if (dbias) std::fill_n(dbias, p.channels, T(0));
  for (int64_t b = 0; b < p.batches; ++b)
    for (int64_t g = 0; g < p.groups; ++g) {
      const T m = mean[b * p.groups + g], s = rstd[b * p.groups + g];
      T sum_g = 0, sum_gx = 0;
      for_group(p, b, g, [&](int64_t c, int64_t i) {
        const T xhat = (x[i] - m) * s, w = weight ? weight[c] : T(1);
        sum_g += dy[i] * w;
        sum_gx += dy[i] * w * xhat;
        if (dweight) dweight[c] += dy[i] * xhat;
        if (dbias) dbias[c] += dy[i];
      });
      if (!dx) continue;
      for_group(p, b, g, [&](int64_t c, int64_t i) {
        const T xhat = (x[i] - m) * s, w = weight ? weight[c] : T(1);
        dx[i] = s * (dy[i] * w - sum_g / n - xhat * sum_gx / n);
      });
    }
}

inline GroupNormParams as_groups(const BatchNormParams& p) { return {1, p.rows, p.channels, p.channels, p.eps}; }
inline GroupNormParams as_groups(const LayerNormParams& p) { return {p.rows, 1, p.channels, 1, p.eps}; }

// y = f(y + residual)
template <class T>
void add_and_activate(T* y, const T* residual, const BatchNormParams& p) {
  for (int64_t i = 0; i < p.rows * p.channels; ++i) y[i] = activate(p.activation, residual ? y[i] + residual[i] : y[i]);
}
// dz = dy f'(y), and dresidual where it is wanted
template <class T>
std::vector<T> activation_gradient(T* dresidual, const T* dy, const T* y, const BatchNormParams& p) {
  std::vector<T> dz(dy, dy + p.rows * p.channels);
  for (size_t i = 0; p.activation != Activation::none && i < dz.size(); ++i) dz[i] *= activate_derivative(p.activation, y[i]);
  if (dresidual) std::copy(dz.begin(), dz.end(), dresidual);
  return dz;
}

template <class T>
void batch_norm_backward(Context& context, T* dx, T* dweight, T* dbias, T* dresidual, const T* dy, const T* x, const T* y,
                         const T* weight, const T* mean, const T* rstd, const BatchNormParams& p) {
  const auto dz = activation_gradient(dresidual, dy, y, p);
  group_norm_backward(context, dx, dweight, dbias, dz.data(), x, weight, mean, rstd, as_groups(p));
}

template <class T>
void batch_norm_frozen_forward(Context&, T* y, const T* x, const T* weight, const T* bias, const T* mean, const T* var,
                               const T* residual, const BatchNormParams& p) {
  using std::sqrt;
  for (int64_t i = 0; i < p.rows * p.channels; ++i) {
    const int64_t c = i % p.channels;
    y[i] = (x[i] - mean[c]) / sqrt(var[c] + T(p.eps)) * (weight ? weight[c] : T(1)) + (bias ? bias[c] : T(0));
  }
  add_and_activate(y, residual, p);
}

template <class T>
void batch_norm_forward(Context& context, T* y, T* mean, T* rstd, T* running_mean, T* running_var, const T* x, const T* weight,
                        const T* bias, const T* residual, const T* statistics, const BatchNormParams& p) {
  using std::sqrt;
  if (statistics) {
    const T *const given_mean = statistics, *const var = statistics + p.channels;
    batch_norm_frozen_forward(context, y, x, weight, bias, given_mean, var, residual, p);
    for (int64_t c = 0; c < p.channels; ++c) mean[c] = given_mean[c], rstd[c] = T(1) / sqrt(var[c] + T(p.eps));
  } else {
    group_norm_forward(context, y, mean, rstd, x, weight, bias, as_groups(p));
    add_and_activate(y, residual, p);
  }
  const T unbiased = T(p.rows) / T(p.rows - 1);
  for (int64_t c = 0; c < p.channels; ++c) {
    const T var = T(1) / (rstd[c] * rstd[c]) - T(p.eps);
    if (running_mean) running_mean[c] = T(1 - p.momentum) * running_mean[c] + T(p.momentum) * mean[c];
    if (running_var) running_var[c] = T(1 - p.momentum) * running_var[c] + T(p.momentum) * var * unbiased;
  }
}

template <class T>
void batch_norm_frozen_backward(Context&, T* dx, T* dweight, T* dbias, T* dresidual, const T* dy, const T* x, const T* y,
                                const T* weight, const T* mean, const T* var, const BatchNormParams& p) {
  using std::sqrt;
  const auto dz = activation_gradient(dresidual, dy, y, p);
  if (dweight) std::fill_n(dweight, p.channels, T(0));
  if (dbias) std::fill_n(dbias, p.channels, T(0));
  for (int64_t i = 0; i < p.rows * p.channels; ++i) {
    const int64_t c = i % p.channels;
    const T rstd = T(1) / sqrt(var[c] + T(p.eps));
    const T g = dz[size_t(i)];
    if (dx) dx[i] = g * rstd * (weight ? weight[c] : T(1));
    if (dweight) dweight[c] += g * (x[i] - mean[c]) * rstd;
    if (dbias) dbias[c] += g;
  }
}

template <class T>
void layer_norm_forward(Context& context, T* y, T* mean, T* rstd, const T* x, const T* weight, const T* bias,
                        const LayerNormParams& p) {
  group_norm_forward(context, y, mean, rstd, x, weight, bias, as_groups(p));
}

template <class T>
void layer_norm_backward(Context& context, T* dx, T* dweight, T* dbias, const T* dy, const T* x, const T* weight, const T* mean,
                         const T* rstd, const T* others, const LayerNormParams& p) {
  group_norm_backward(context, dx, dweight, dbias, dy, x, weight, mean, rstd, as_groups(p));
  for (int64_t i = 0; dx && others && i < p.rows * p.channels; ++i) dx[i] += others[i];
}

// d_c of one row.
template <class T>
T lrn_denominator(const T* x, int64_t c, const LrnParams& p) {
  T sum = 0;
  for (int64_t j = std::max<int64_t>(0, c - p.size / 2); j <= std::min(p.channels - 1, c + (p.size - 1) / 2); ++j)
    sum += x[j] * x[j];
  return T(p.k) + T(p.alpha / double(p.size)) * sum;
}

template <class T>
void lrn_forward(Context&, T* y, const T* x, const LrnParams& p) {
  using std::pow;
  for (int64_t r = 0; r < p.rows; ++r, x += p.channels, y += p.channels)
    for (int64_t c = 0; c < p.channels; ++c) y[c] = x[c] * pow(lrn_denominator(x, c, p), T(-p.beta));
}

template <class T>
void lrn_backward(Context&, T* dx, const T* dy, const T* x, const LrnParams& p) {
  using std::pow;
  for (int64_t r = 0; r < p.rows; ++r, x += p.channels, dx += p.channels, dy += p.channels)
    for (int64_t c = 0; c < p.channels; ++c) {
      T sum = 0;  // over the windows that hold c
      for (int64_t j = std::max<int64_t>(0, c - (p.size - 1) / 2); j <= std::min(p.channels - 1, c + p.size / 2); ++j)
        sum += dy[j] * x[j] * pow(lrn_denominator(x, j, p), T(-p.beta - 1));
      dx[c] = dy[c] * pow(lrn_denominator(x, c, p), T(-p.beta)) - T(2 * p.alpha * p.beta / double(p.size)) * x[c] * sum;
    }
}

}  // namespace graft::ref
