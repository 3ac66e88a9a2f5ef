#include "kernels/common/registry.h"
#include "kernels/matmul/linear_ref.h"
#include "kernels/matmul/matmul_ref.h"

namespace graft::cpu {

void matmul_forward(Context& x, float* c, const float* a, const float* b, const MatmulParams& p) {
  ref::matmul_forward(x, c, a, b, p);
}
void linear_forward(Context& c, float* y, const float* x, const float* w, const float* b, const LinearParams& p) {
  ref::linear_forward(c, y, x, w, b, p);
}
void linear_dgrad(Context& c, float* dx, const float* dy, const float* w, const float* y, const LinearParams& p) {
  ref::linear_dgrad(c, dx, dy, w, y, p);
}
void linear_wgrad(Context& c, float* dw, float* db, const float* dy, const float* x, const float* y, const LinearParams& p) {
  ref::linear_wgrad(c, dw, db, dy, x, y, p);
}

GRAFT_KERNEL(matmul, forward, cpu, float, MatmulForward);
GRAFT_KERNEL(linear, forward, cpu, float, LinearForward);
GRAFT_KERNEL(linear, dgrad, cpu, float, LinearDgrad);
GRAFT_KERNEL(linear, wgrad, cpu, float, LinearWgrad);

}  // namespace graft::cpu
