#pragma once
#include "nn/module.h"

namespace graft::nn {

// Scales all gradients by max_norm / (norm + 1e-6) when their joint L2 norm exceeds max_norm (Pascanu et al. 2013;
// PyTorch's clip_grad_norm_), and returns the norm from before. A norm that is not finite is returned as it is and
// nothing is scaled: the caller sees the divergence, and so does the next loss. Parameters without a gradient do not
// count. ConfigError: max_norm <= 0.
double clip_grad_norm(const NamedTensors& params, double max_norm);

}  // namespace graft::nn
