#include "kernels/common/registry.h"
#include "kernels/optim/sgd_ref.h"

namespace graft {

GRAFT_REF_KERNEL(sgd, step, SgdStep);

}  // namespace graft
