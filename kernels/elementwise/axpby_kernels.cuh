// y = a x + b y.
//
// | version | what it teaches |
// |---|---|
// | v1 | one thread an element; neighbours read neighbours, so a warp moves whole 128-byte lines |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/elementwise/axpby.h"

namespace graft::GRAFT_GPU {
namespace {

__global__ void __launch_bounds__(kThreads) axpby_v1(float* y, const float* x, float a, float b, int64_t n) {
  const int64_t i = global_thread();
  if (i >= n) return;
  y[i] = b == 0.0f ? a * x[i] : fmaf(a, x[i], b * y[i]);
}

}  // namespace

void axpby_forward(Context& context, float* y, const float* x, const AxpbyParams& p) {
  launch_threads(context, p.n, axpby_v1, y, x, float(p.a), float(p.b), p.n);
}

GRAFT_KERNEL(axpby, forward, GRAFT_GPU, float, AxpbyForward);

}  // namespace graft::GRAFT_GPU
