#pragma once
#include "tensor/tensor.h"

namespace graft {

// c[.., M, N] = op(a) op(b) for every matrix of the leading dimensions, which must be equal.
// a[.., M, K], or [.., K, M] with transpose_a; b[.., K, N], or [.., N, K] with transpose_b. Differentiable in both.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

}  // namespace graft
