#pragma once
#include "tensor/tensor.h"

namespace graft {

// Over the last dimension, any rank >= 1. Float types.
Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);

}  // namespace graft
