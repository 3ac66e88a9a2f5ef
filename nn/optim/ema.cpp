#include "nn/optim/ema.h"

#include "tensor/ops/axpby.h"

namespace graft::nn {

Ema::Ema(NamedTensors tensors, double decay) : tensors_(std::move(tensors)), decay_(decay) {
  check<ConfigError>(decay >= 0 && decay < 1, "ema: decay: expected in [0, 1), got {}", decay);
  for (const auto& [name, t] : tensors_) averages_.emplace_back(name, t.clone());
}

void Ema::update() {
  for (size_t i = 0; i < tensors_.size(); ++i) axpby_inplace(averages_[i].second, tensors_[i].second, 1 - decay_, decay_);
}

void Ema::swap() {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor weight = tensors_[i].second.clone();
    tensors_[i].second.copy_from(averages_[i].second);
    averages_[i].second.copy_from(weight);
  }
}

}  // namespace graft::nn
