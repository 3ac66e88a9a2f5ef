// The oracle: scalar loops, any T. All passes visit the same (output, tap, input) triples.
#pragma once
#include <algorithm>

#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/linear_ref.h"

namespace graft::ref {

// visit(index in y, index in weight, index in x) for every product of the convolution.
template <class F>
void for_each_product(const Conv2dParams& p, F visit) {
  const int64_t ci_count = p.c_in / p.groups, co_count = p.c_out / p.groups, oh_count = p.out_h(), ow_count = p.out_w();
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t oh = 0; oh < oh_count; ++oh)
      for (int64_t ow = 0; ow < ow_count; ++ow)
        for (int64_t co = 0; co < p.c_out; ++co)
          for (int64_t kh = 0; kh < p.kh; ++kh)
            for (int64_t kw = 0; kw < p.kw; ++kw) {
              const int64_t h = oh * p.stride - p.padding + kh * p.dilation, w = ow * p.stride - p.padding + kw * p.dilation;
              if (h < 0 || h >= p.h || w < 0 || w >= p.w) continue;
              const int64_t y = ((n * oh_count + oh) * ow_count + ow) * p.c_out + co;
              const int64_t weight = ((co * p.kh + kh) * p.kw + kw) * ci_count;
              const int64_t x = ((n * p.h + h) * p.w + w) * p.c_in + co / co_count * ci_count;
              for (int64_t ci = 0; ci < ci_count; ++ci) visit(y, weight + ci, x + ci);
            }
}

template <class T>
void conv2d_forward(Context&, T* y, Accumulate<T>* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                    const Conv2dParams& p) {
  const int64_t size = p.n * p.out_h() * p.out_w() * p.c_out;
  std::fill_n(y, size, T(0));
  for_each_product(p, [&](int64_t iy, int64_t iw, int64_t ix) { y[iy] += x[ix] * weight[iw]; });
  for (int64_t i = 0; i < size; ++i)
    y[i] = fused_activation(p.activation, y[i] + (bias ? bias[i % p.c_out] : T(0)) + (residual ? residual[i] : T(0)));
  if (!statistics) return;
  Accumulate<T>*const mean = statistics, *const var = statistics + p.c_out;
  const auto pixels = Accumulate<T>(size / p.c_out);
  std::fill_n(statistics, 2 * p.c_out, Accumulate<T>(0));
  for (int64_t i = 0; i < size; ++i) mean[i % p.c_out] += y[i] / pixels;
  for (int64_t i = 0; i < size; ++i) var[i % p.c_out] += (y[i] - mean[i % p.c_out]) * (y[i] - mean[i % p.c_out]) / pixels;
}

template <class T>
void conv2d_dgrad(Context&, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams& p) {
  const int64_t size = p.n * p.h * p.w * p.c_in;
  std::fill_n(dx, size, T(0));
  for_each_product(p,
                   [&](int64_t iy, int64_t iw, int64_t ix) { dx[ix] += fused_gradient(p.activation, dy[iy], y, iy) * weight[iw]; });
  for (int64_t i = 0; others && i < size; ++i) dx[i] += others[i];
}

template <class T>
void conv2d_wgrad(Context&, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
  std::fill_n(dweight, p.c_out * p.kh * p.kw * (p.c_in / p.groups), T(0));
  for_each_product(p,
                   [&](int64_t iy, int64_t iw, int64_t ix) { dweight[iw] += fused_gradient(p.activation, dy[iy], y, iy) * x[ix]; });
  if (!dbias) return;
  std::fill_n(dbias, p.c_out, T(0));
  for (int64_t i = 0; i < p.n * p.out_h() * p.out_w() * p.c_out; ++i)
    dbias[i % p.c_out] += fused_gradient(p.activation, dy[i], y, i);
}

// The oracle needs no second text for the depthwise case.
template <class T>
void depthwise_conv2d_forward(Context& c, T* y, const T* x, const T* weight, const T* bias, const Conv2dParams& p) {
  conv2d_forward<T>(c, y, nullptr, x, weight, bias, nullptr, p);
}
template <class T>
void depthwise_conv2d_dgrad(Context& c, T* dx, const T* dy, const T* weight, const T* y, const Conv2dParams& p) {
  conv2d_dgrad<T>(c, dx, dy, weight, y, nullptr, p);
}
template <class T>
void depthwise_conv2d_wgrad(Context& c, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
  conv2d_wgrad(c, dweight, dbias, dy, x, y, p);
}

}  // namespace graft::ref
