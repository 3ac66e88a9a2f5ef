// The oracle: scalar loops, any T.
#pragma once
#include <complex>

#include "kernels/elementwise/activation_ref.h"
#include "kernels/matmul/linear.h"

namespace graft::ref {

// The two halves of a fused activation as conv2d (none or relu) and linear (gelu too) use it; complex T follows the real part.
template <class T>
T fused_activation(Activation f, T y) {
  if constexpr (std::is_floating_point_v<T>)
    if (f == Activation::gelu) return activate(f, y);
  return f == Activation::relu && std::real(y) < 0 ? T(0) : y;
}
template <class T>
T fused_gradient(Activation f, T dy, const T* y, int64_t i) {
  return f == Activation::relu && std::real(y[i]) <= 0 ? T(0) : dy;
}

template <class T>
void linear_forward(Context&, T* y, const T* x, const T* weight, const T* bias, const T* residual, const LinearParams& p) {
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t o = 0; o < p.out; ++o) {
      T sum(0);
      for (int64_t i = 0; i < p.in; ++i) sum += x[r * p.in + i] * weight[o * p.in + i];
      if (bias) sum += bias[o];
      if (residual) sum += residual[r * p.out + o];
      y[r * p.out + o] = fused_activation(p.activation, sum);
    }
}

template <class T>
void linear_dgrad(Context&, T* dx, const T* dy, const T* weight, const T* y, const LinearParams& p) {
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t i = 0; i < p.in; ++i) {
      T sum(0);
      for (int64_t o = 0; o < p.out; ++o) {
        const int64_t at = r * p.out + o;
        sum += fused_gradient(p.activation, dy[at], y, at) * weight[o * p.in + i];
      }
      dx[r * p.in + i] = sum;
    }
}

template <class T>
void linear_wgrad(Context&, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const LinearParams& p) {
  for (int64_t i = 0; i < p.out * p.in; ++i) dweight[i] = T(0);
  for (int64_t o = 0; dbias && o < p.out; ++o) dbias[o] = T(0);
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t o = 0; o < p.out; ++o) {
      const int64_t at = r * p.out + o;
      const T g = fused_gradient(p.activation, dy[at], y, at);
      for (int64_t i = 0; i < p.in; ++i) dweight[o * p.in + i] += g * x[r * p.in + i];
      if (dbias) dbias[o] += g;
    }
}

}  // namespace graft::ref
