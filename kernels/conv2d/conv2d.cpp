#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d_ref.h"

namespace graft {

GRAFT_REF_KERNEL(conv2d, forward, Conv2dForward);
GRAFT_REF_KERNEL(conv2d, dgrad, Conv2dDgrad);
GRAFT_REF_KERNEL(conv2d, wgrad, Conv2dWgrad);
GRAFT_REF_KERNEL(depthwise_conv2d, forward, DepthwiseConv2dForward);
GRAFT_REF_KERNEL(depthwise_conv2d, dgrad, DepthwiseConv2dDgrad);
GRAFT_REF_KERNEL(depthwise_conv2d, wgrad, Conv2dWgrad);

}  // namespace graft
