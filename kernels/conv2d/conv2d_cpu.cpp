#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d_ref.h"

namespace graft::cpu {

#define GRAFT_SCALAR(op)                                                                                                  \
  void op##_forward(Context& c, float* y, const float* x, const float* w, const float* b, const Conv2dParams& p) {        \
    ref::op##_forward(c, y, x, w, b, p);                                                                                  \
  }                                                                                                                       \
  void op##_dgrad(Context& c, float* dx, const float* dy, const float* w, const float* y, const Conv2dParams& p) {        \
    ref::op##_dgrad(c, dx, dy, w, y, p);                                                                                  \
  }                                                                                                                       \
  void op##_wgrad(Context& c, float* dw, float* db, const float* dy, const float* x, const float* y,                      \
                  const Conv2dParams& p) {                                                                                \
    ref::op##_wgrad(c, dw, db, dy, x, y, p);                                                                              \
  }                                                                                                                       \
  GRAFT_KERNEL(op, forward, cpu, float, Conv2dForward);                                                                   \
  GRAFT_KERNEL(op, dgrad, cpu, float, Conv2dDgrad);                                                                       \
  GRAFT_KERNEL(op, wgrad, cpu, float, Conv2dWgrad)

GRAFT_SCALAR(conv2d);
GRAFT_SCALAR(depthwise_conv2d);

}  // namespace graft::cpu
