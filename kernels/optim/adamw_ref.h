#pragma once
#include <cmath>

#include "kernels/optim/adamw.h"

namespace graft::ref {

template <class T>
void adamw_step(Context&, std::span<const AdamwTensor<T>> tensors, const AdamwParams& p) {
  using std::sqrt;
  const T square_correction = T(std::sqrt(1 - std::pow(p.beta2, double(p.step))));
  for (const AdamwTensor<T>& t : tensors) {
    const T keep = T(1 - t.lr * t.weight_decay), rate = T(t.lr / (1 - std::pow(p.beta1, double(p.step))));
    for (int64_t i = 0; i < t.n; ++i) {
      const T g = t.grad[i];
      t.mean[i] += T(1 - p.beta1) * (g - t.mean[i]);
      t.square[i] = T(p.beta2) * t.square[i] + T(1 - p.beta2) * g * g;
      t.weight[i] = t.weight[i] * keep - rate * t.mean[i] / (sqrt(t.square[i]) / square_correction + T(p.epsilon));
    }
  }
}

}  // namespace graft::ref
