#pragma once
#include "kernels/elementwise/activation.h"
#include "tensor/tensor.h"

namespace graft {

// y = f(x), elementwise, any shape. Float types.
Tensor activation(const Tensor& x, Activation kind);

inline Tensor relu(const Tensor& x) { return activation(x, Activation::relu); }
inline Tensor relu6(const Tensor& x) { return activation(x, Activation::relu6); }
inline Tensor gelu(const Tensor& x) { return activation(x, Activation::gelu); }
inline Tensor gelu_tanh(const Tensor& x) { return activation(x, Activation::gelu_tanh); }
inline Tensor silu(const Tensor& x) { return activation(x, Activation::silu); }
inline Tensor tanh(const Tensor& x) { return activation(x, Activation::tanh); }
inline Tensor sigmoid(const Tensor& x) { return activation(x, Activation::sigmoid); }

}  // namespace graft
