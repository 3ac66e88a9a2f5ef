#pragma once
#include "kernels/elementwise/dropout.h"
#include "tensor/tensor.h"

namespace graft {

// Zeroes each element with probability p in [0, 1) and multiplies the others by 1 / (1 - p). Which ones is a function
// of the stream and the element's index alone. For training: in evaluation the caller leaves it out. ConfigError for
// another p.
Tensor dropout(const Tensor& x, double p, Philox stream);

}  // namespace graft
