// Copies a strided array into a contiguous tensor.
#pragma once
#include <span>

#include "tensor/tensor.h"

namespace graft::io {

// out[i, j, ..] = source[i * strides[0] + j * strides[1] + ..]; strides count elements. Bounds are the caller's care.
void copy_strided(const Tensor& out, const std::byte* source, std::span<const int64_t> strides);

}  // namespace graft::io
