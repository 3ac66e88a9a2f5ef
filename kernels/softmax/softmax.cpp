#include "kernels/common/registry.h"
#include "kernels/softmax/softmax_ref.h"

namespace graft {

GRAFT_REF_KERNEL(softmax, forward, SoftmaxForward);
GRAFT_REF_KERNEL(softmax, backward, SoftmaxBackward);
GRAFT_REF_KERNEL(log_softmax, forward, SoftmaxForward);
GRAFT_REF_KERNEL(log_softmax, backward, SoftmaxBackward);

}  // namespace graft
