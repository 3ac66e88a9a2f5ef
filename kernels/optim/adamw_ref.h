#pragma once
#include <cmath>

#include "kernels/optim/adamw.h"

namespace graft::ref {

template <class T>
void adamw_step(Context&, std::span<const AdamwTensor<T>> tensors, const AdamwParams& p) {
  using std::sqrt;
  const StepState now = p.state ? *p.state : StepState{.step = p.step};
  const T square_correction = T(std::sqrt(1 - std::pow(p.beta2, double(now.step)))), scale = T(clip_factor(now));
  for (const AdamwTensor<T>& t : tensors) {
    const double lr = now.lr * t.lr;
    const T keep = T(1 - lr * t.weight_decay), rate = T(lr / (1 - std::pow(p.beta1, double(now.step))));
    for (int64_t i = 0; i < t.n; ++i) {
      const T g = scale * t.grad[i];
      t.mean[i] += T(1 - p.beta1) * (g - t.mean[i]);
      t.square[i] = T(p.beta2) * t.square[i] + T(1 - p.beta2) * g * g;
      t.weight[i] = t.weight[i] * keep - rate * t.mean[i] / (sqrt(t.square[i]) / square_correction + T(p.epsilon));
      if (t.rounded) t.rounded[i] = T(t.weight[i]);
    }
  }
}

}  // namespace graft::ref
