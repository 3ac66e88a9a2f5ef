#pragma once
#include "kernels/elementwise/activation.h"
#include "tensor/tensor.h"

namespace graft {

// y[.., out] = f(x[.., in] weight[out, in]^T + bias[out]); an undefined bias is none. Differentiable in all three.
// relu is computed inside the kernel, gelu too where nothing is recorded; the other activations follow in a kernel of their own.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, Activation = Activation::none);

}  // namespace graft
