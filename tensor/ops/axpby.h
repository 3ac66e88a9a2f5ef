#pragma once
#include "tensor/tensor.h"

namespace graft {

// y = a x + b y: same shape, dtype and device. Not recorded: for gradients and statistics, never for activations.
void axpby_inplace(const Tensor& y, const Tensor& x, double a, double b);
inline void add_inplace(const Tensor& y, const Tensor& x) { axpby_inplace(y, x, 1, 1); }

// y = factor * x, differentiable in x.
Tensor scale(const Tensor& x, double factor);

}  // namespace graft
