// Adam with decoupled weight decay (Loshchilov & Hutter 2019), over all parameters in one pass, as PyTorch's:
//   w = w (1 - lr weight_decay);   m = m + (1 - beta1)(g - m);   v = beta2 v + (1 - beta2) g^2
//   w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
// A network in bf16 keeps its weights twice: in f32, where a step of 2^-9 of a weight and less still counts, and rounded.
#pragma once
#include <span>

#include "kernels/common/context.h"
#include "kernels/optim/step_state.h"

namespace graft {

template <class T>
struct AdamwTensor {
  Accumulate<T>* weight;
  const T* grad;
  Accumulate<T>* mean;    // m, zero before the first step
  Accumulate<T>* square;  // v, likewise
  int64_t n;
  double lr, weight_decay;
  T* rounded = nullptr;  // the new weight in T, what the network computes with; null where it is not wanted
};

struct AdamwParams {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  int64_t step = 1;                  // t, of this step: the first is 1
  const StepState* state = nullptr;  // in the memory of the back end: its rate, step and clipping hold; null: lr and step as given
};

template <class T>
using AdamwStep = void(Context&, std::span<const AdamwTensor<T>>, const AdamwParams&);

namespace cpu {
AdamwStep<float> adamw_step;
}

}  // namespace graft
