// Stochastic gradient descent with momentum, over all parameters of a network in one pass, as PyTorch's:
//   g' = g + weight_decay w;   v = momentum v + g';   w = w - lr (nesterov ? g' + momentum v : v)
// Before the first step v is zero. A network in bf16 keeps its weights twice, as adamw.h says.
#pragma once
#include <span>

#include "kernels/common/context.h"
#include "kernels/optim/step_state.h"

namespace graft {

template <class T>
struct SgdTensor {
  Accumulate<T>* weight;
  const T* grad;
  Accumulate<T>* velocity;  // null when momentum is 0
  int64_t n;
  double lr, weight_decay;
  T* rounded = nullptr;  // the new weight in T, what the network computes with; null where it is not wanted
};

struct SgdParams {
  double momentum = 0;
  bool nesterov = false;
  const StepState* state = nullptr;  // in the memory of the back end: its rate and clipping hold; null: lr as given
};

template <class T>
using SgdStep = void(Context&, std::span<const SgdTensor<T>>, const SgdParams&);

namespace cpu {
SgdStep<float> sgd_step;
}

}  // namespace graft
