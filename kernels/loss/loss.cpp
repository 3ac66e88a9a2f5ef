#include "kernels/common/registry.h"
#include "kernels/loss/loss_ref.h"

namespace graft {

GRAFT_REF_KERNEL(cross_entropy, forward, CrossEntropyForward);
GRAFT_REF_KERNEL(cross_entropy, backward, CrossEntropyBackward);
GRAFT_REF_KERNEL(mse, forward, MseForward);
GRAFT_REF_KERNEL(mse, backward, MseBackward);

}  // namespace graft
