// One optimizer step over many parameters at once: changes weights and state in place and bumps their versions, so that
// a graph recorded before the step refuses to run backward.
#pragma once
#include <span>

#include "kernels/optim/adamw.h"
#include "kernels/optim/sgd.h"
#include "tensor/tensor.h"

namespace graft {

// grad and velocity have the weight's shape, dtype and device; velocity is undefined when momentum is 0.
struct SgdUpdate {
  Tensor weight, grad, velocity;
  double lr, weight_decay;
};
void sgd_step(std::span<const SgdUpdate> updates, const SgdParams& params);

struct AdamwUpdate {
  Tensor weight, grad, mean, square;
  double lr, weight_decay;
};
void adamw_step(std::span<const AdamwUpdate> updates, const AdamwParams& params);

}  // namespace graft
