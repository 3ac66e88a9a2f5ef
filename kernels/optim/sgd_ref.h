#pragma once
#include "kernels/optim/sgd.h"

namespace graft::ref {

template <class T>
void sgd_step(Context&, std::span<const SgdTensor<T>> tensors, const SgdParams& p) {
  const T momentum = T(p.momentum);
  for (const SgdTensor<T>& t : tensors)
    for (int64_t i = 0; i < t.n; ++i) {
      T g = t.grad[i] + T(t.weight_decay) * t.weight[i];
      if (t.velocity) {
        t.velocity[i] = momentum * t.velocity[i] + g;
        g = p.nesterov ? g + momentum * t.velocity[i] : t.velocity[i];
      }
      t.weight[i] -= T(t.lr) * g;
    }
}

}  // namespace graft::ref
