#include "nn/optim/clip.h"

#include <cmath>

#include "tensor/autograd.h"
#include "tensor/ops/axpby.h"
#include "tensor/ops/optim.h"

namespace graft::nn {

double clip_grad_norm(const NamedTensors& params, double max_norm) {
  check<ConfigError>(max_norm > 0, "clip_grad_norm: max_norm: expected more than 0, got {}", max_norm);
  NoGrad guard;
  std::vector<Tensor> gradients;
  for (const auto& [name, p] : params)
    if (const Tensor g = p.grad()) gradients.push_back(g);
  const double norm = global_norm(gradients);
  if (!std::isfinite(norm) || norm <= max_norm) return norm;
  for (const auto& [name, p] : params)
    if (const Tensor g = p.grad()) p.set_grad(scale(g, max_norm / (norm + 1e-6)));
  return norm;
}

}  // namespace graft::nn
