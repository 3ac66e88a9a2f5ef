// y = f(x), elementwise.
//   relu     max(x, 0)                 relu6    min(max(x, 0), 6)
//   sigmoid  1 / (1 + exp(-x))         tanh     tanh(x)
//   silu     x sigmoid(x)              gelu     x Phi(x) with the exact normal CDF (Hendrycks & Gimpel 2016; BERT)
//   gelu_tanh  x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): their approximation (GPT-2);
//              the second form loses nothing where tanh is near -1
// A NaN in x stays a NaN in y: a diverged run must be seen.
#pragma once
#include "kernels/common/context.h"

namespace graft {

enum class Activation : uint8_t { none, relu, relu6, gelu, silu, tanh, sigmoid, gelu_tanh };

struct ActivationParams {
  Activation kind;
  int64_t n;            // elements
  int64_t columns = 0;  // of dbias: a divisor of n
};

// y[n], x[n]; y may be x.
template <class T>
using ActivationForward = void(Context&, T* y, const T* x, const ActivationParams&);
// dx[n] = dy[n] f'(x); dx may be dy. relu, relu6: derivative 0 at the kinks, as PyTorch. dbias[columns], or null: the sums of dx
// over its rows, the bias gradient of the layer that made x.
template <class T>
using ActivationBackward = void(Context&, T* dx, T* dbias, const T* dy, const T* x, const ActivationParams&);

namespace cpu {
ActivationForward<float> activation_forward;
ActivationBackward<float> activation_backward;
}  // namespace cpu

}  // namespace graft
