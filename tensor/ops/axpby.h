#pragma once
#include "tensor/tensor.h"

namespace graft {

// y += x: same shape, dtype and device. Not recorded: for gradients and statistics, never for activations.
void add_inplace(const Tensor& y, const Tensor& x);

// y = factor * x, differentiable in x.
Tensor scale(const Tensor& x, double factor);

}  // namespace graft
