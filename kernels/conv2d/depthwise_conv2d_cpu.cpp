#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d.h"

namespace graft::cpu {

void depthwise_conv2d_forward(Context& c, float* y, const float* x, const float* w, const float* b, const Conv2dParams& p) {
  conv2d_forward(c, y, x, w, b, p);
}
void depthwise_conv2d_dgrad(Context& c, float* dx, const float* dy, const float* w, const float* y, const Conv2dParams& p) {
  conv2d_dgrad(c, dx, dy, w, y, p);
}
void depthwise_conv2d_wgrad(Context& c, float* dw, float* db, const float* dy, const float* x, const float* y, const Conv2dParams& p) {
  conv2d_wgrad(c, dw, db, dy, x, y, p);
}

GRAFT_KERNEL(depthwise_conv2d, forward, cpu, float, Conv2dForward);
GRAFT_KERNEL(depthwise_conv2d, dgrad, cpu, float, Conv2dDgrad);
GRAFT_KERNEL(depthwise_conv2d, wgrad, cpu, float, Conv2dWgrad);

}  // namespace graft::cpu
