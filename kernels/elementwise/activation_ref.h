// The oracle: scalar loops, any T.
#pragma once
#include <cmath>

#include "kernels/elementwise/activation.h"

namespace graft::ref {

// gelu_tanh is x sigmoid(2 u): 2 u, and its derivative.
template <class T>
T gelu_tanh_argument(T x) {
  return T(2) * T(0.7978845608028654) * (x + T(0.044715) * x * x * x);
}
template <class T>
T gelu_tanh_slope(T x) {
  return T(2) * T(0.7978845608028654) * (T(1) + T(3 * 0.044715) * x * x);
}

template <class T>
T activate(Activation kind, T x) {
  using std::erf, std::exp, std::sqrt, std::tanh;
  switch (kind) {
    case Activation::none: return x;
    case Activation::relu: return x < T(0) ? T(0) : x;
    case Activation::relu6: return x < T(0) ? T(0) : x > T(6) ? T(6) : x;
    case Activation::gelu: return T(0.5) * x * (T(1) + erf(x * T(M_SQRT1_2)));
    case Activation::silu: return x / (T(1) + exp(-x));
    case Activation::tanh: return tanh(x);
    case Activation::sigmoid: return T(1) / (T(1) + exp(-x));
    case Activation::gelu_tanh: return x / (T(1) + exp(-gelu_tanh_argument(x)));
  }
  return x;
}

template <class T>
T activate_derivative(Activation kind, T x) {
  using std::erf, std::exp, std::tanh;
  switch (kind) {
    case Activation::none: return T(1);
    case Activation::relu: return x > T(0) ? T(1) : T(0);
    case Activation::relu6: return x > T(0) && x < T(6) ? T(1) : T(0);
    case Activation::gelu: return T(0.5) * (T(1) + erf(x * T(M_SQRT1_2))) + x * exp(T(-0.5) * x * x) * T(0.3989422804014327);
    case Activation::silu: {
      const T s = T(1) / (T(1) + exp(-x));
      return s * (T(1) + x * (T(1) - s));
    }
    case Activation::tanh: return T(1) - tanh(x) * tanh(x);
    case Activation::sigmoid: {
      const T s = T(1) / (T(1) + exp(-x));
      return s * (T(1) - s);
    }
    case Activation::gelu_tanh: {
      const T s = T(1) / (T(1) + exp(-gelu_tanh_argument(x)));
      return s * (T(1) + x * (T(1) - s) * gelu_tanh_slope(x));
    }
  }
  return T(1);
}

template <class T>
void activation_forward(Context&, T* y, const T* x, const ActivationParams& p) {
  for (int64_t i = 0; i < p.n; ++i) y[i] = activate(p.kind, x[i]);
}

template <class T>
void activation_backward(Context&, T* dx, T* dbias, const T* dy, const T* x, const ActivationParams& p) {
  for (int64_t i = 0; i < p.n; ++i) dx[i] = dy[i] * activate_derivative(p.kind, x[i]);
  for (int64_t c = 0; dbias && c < p.columns; ++c) dbias[c] = T(0);
  for (int64_t i = 0; dbias && i < p.n; ++i) dbias[i % p.columns] += dx[i];
}

}  // namespace graft::ref
