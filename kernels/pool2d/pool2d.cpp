#include "kernels/common/registry.h"
#include "kernels/pool2d/pool2d_ref.h"

namespace graft {

GRAFT_REF_KERNEL(max_pool2d, forward, MaxPool2dForward);
GRAFT_REF_KERNEL(max_pool2d, backward, MaxPool2dBackward);
GRAFT_REF_KERNEL(avg_pool2d, forward, AvgPool2dForward);
GRAFT_REF_KERNEL(avg_pool2d, backward, AvgPool2dBackward);

}  // namespace graft
