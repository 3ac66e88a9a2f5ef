#pragma once
#include "kernels/elementwise/activation.h"
#include "tensor/tensor.h"

namespace graft {

// y[.., out] = f(x[.., in] weight[out, in]^T + bias[out] + residual[.., out]); an undefined bias or residual is none.
// Differentiable in all four; a residual goes with f none alone (ConfigError). relu is computed inside the kernel, gelu too where
// nothing is recorded; the other activations follow in a kernel of their own.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, Activation = Activation::none,
              const Tensor& residual = {});

}  // namespace graft
