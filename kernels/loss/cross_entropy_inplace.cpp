#include "kernels/common/registry.h"
#include "kernels/loss/cross_entropy_inplace_ref.h"

namespace graft {

GRAFT_REF_KERNEL(cross_entropy_inplace, forward, CrossEntropyInplaceForward);
GRAFT_REF_KERNEL(cross_entropy_inplace, backward, CrossEntropyInplaceBackward);

}  // namespace graft
