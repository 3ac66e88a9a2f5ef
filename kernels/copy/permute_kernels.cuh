// y[i0, i1, ...] = x[sum of i_d stride_d].
//
// | version | what it teaches |
// |---|---|
// | v1 | one thread an element of y: writes are whole lines, reads are scattered when the last axis moves |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/copy/permute.h"

namespace graft::GRAFT_GPU {
namespace {

struct PermuteAxes {
  int64_t dims[6], strides[6];
};

__global__ void __launch_bounds__(kThreads) permute_v1(float* y, const float* x, PermuteAxes axes, int64_t n) {
  const int64_t i = global_thread();
  if (i >= n) return;
  int64_t rest = i, from = 0;
#pragma unroll
  for (int d = 5; d >= 0; --d) {
    from += rest % axes.dims[d] * axes.strides[d];
    rest /= axes.dims[d];
  }
  y[i] = x[from];
}

}  // namespace

void permute_forward(Context& context, float* y, const float* x, const PermuteParams& p) {
  PermuteAxes axes;
  int64_t n = 1;
  for (size_t d = 0; d < 6; ++d) {
    axes.dims[d] = p.dims[d], axes.strides[d] = p.strides[d];
    n *= p.dims[d];
  }
  launch_threads(context, n, permute_v1, y, x, axes, n);
}

GRAFT_KERNEL(permute, forward, GRAFT_GPU, float, PermuteForward);

}  // namespace graft::GRAFT_GPU
