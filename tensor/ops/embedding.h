#pragma once
#include "tensor/tensor.h"

namespace graft {

// weight[V, D], ids i64[...] in [0, V) -> [..., D]: the rows of the table. Differentiable in weight (the gradient is
// dense). ShapeError names an id out of range.
Tensor embedding(const Tensor& weight, const Tensor& ids);

}  // namespace graft
