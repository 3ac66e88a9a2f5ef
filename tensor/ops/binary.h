#pragma once
#include "kernels/elementwise/binary.h"
#include "tensor/tensor.h"

namespace graft {

// a + b, a - b, a b, elementwise with NumPy's broadcasting: shapes are aligned at the last dimension, and a dimension
// of size 1, or one that is missing in front, is repeated. Differentiable in both. ShapeError when the shapes do not
// fit, or when repetition alternates so often that more than four dimensions remain after joining neighbours.
Tensor binary(const Tensor& a, const Tensor& b, Binary kind);

inline Tensor add(const Tensor& a, const Tensor& b) { return binary(a, b, Binary::add); }
inline Tensor sub(const Tensor& a, const Tensor& b) { return binary(a, b, Binary::sub); }
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary(a, b, Binary::mul); }

}  // namespace graft
