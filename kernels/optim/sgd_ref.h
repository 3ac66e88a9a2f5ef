#pragma once
#include "kernels/optim/sgd.h"

namespace graft::ref {

template <class T>
void sgd_step(Context&, std::span<const SgdTensor<T>> tensors, const SgdParams& p) {
  const StepState now = p.state ? *p.state : StepState{};
  const T momentum = T(p.momentum), scale = T(clip_factor(now));
  for (const SgdTensor<T>& t : tensors)
    for (int64_t i = 0; i < t.n; ++i) {
      T g = scale * t.grad[i] + T(t.weight_decay) * t.weight[i];
      if (t.velocity) {
        t.velocity[i] = momentum * t.velocity[i] + g;
        g = p.nesterov ? g + momentum * t.velocity[i] : t.velocity[i];
      }
      t.weight[i] -= T(now.lr * t.lr) * g;
      if (t.rounded) t.rounded[i] = T(t.weight[i]);
    }
}

}  // namespace graft::ref
