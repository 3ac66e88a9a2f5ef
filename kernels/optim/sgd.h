// Stochastic gradient descent with momentum, over all parameters of a network in one pass, as PyTorch's:
//   g' = g + weight_decay w;   v = momentum v + g';   w = w - lr (nesterov ? g' + momentum v : v)
// Before the first step v is zero.
#pragma once
#include <span>

#include "kernels/common/context.h"

namespace graft {

template <class T>
struct SgdTensor {
  T* weight;
  const T* grad;
  T* velocity;  // null when momentum is 0
  int64_t n;
  double lr, weight_decay;
};

struct SgdParams {
  double momentum = 0;
  bool nesterov = false;
};

template <class T>
using SgdStep = void(Context&, std::span<const SgdTensor<T>>, const SgdParams&);

namespace cpu {
SgdStep<float> sgd_step;
}

}  // namespace graft
