#pragma once
#include "tensor/tensor.h"

namespace graft {

// x in another type, f32 or bf16 (DtypeError otherwise), on x's device; x itself where it has that type. The gradient is dy in
// x's type. Tensor::to(DType) is the same without a graph, for any types.
Tensor cast(const Tensor& x, DType);

}  // namespace graft
