#include "kernels/common/registry.h"
#include "kernels/optim/global_norm_ref.h"

namespace graft {

GRAFT_REF_KERNEL(global_norm, forward, GlobalNormForward);

}  // namespace graft
