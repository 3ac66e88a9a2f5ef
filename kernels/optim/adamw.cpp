#include "kernels/common/registry.h"
#include "kernels/optim/adamw_ref.h"

namespace graft {

GRAFT_REF_KERNEL(adamw, step, AdamwStep);

}  // namespace graft
