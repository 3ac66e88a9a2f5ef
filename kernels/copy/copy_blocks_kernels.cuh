// Copies blocks of adjacent elements between strided places.
//
// | version | what it teaches |
// |---|---|
// | v1 | one thread an element; a warp inside one block reads and writes whole lines |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/copy/copy_blocks.h"

namespace graft::GRAFT_GPU {
namespace {

__global__ void __launch_bounds__(kThreads) copy_blocks_v1(float* y, const float* x, CopyBlocksParams p) {
  const int64_t i = global_thread();
  if (i >= p.count * p.block) return;
  const int64_t c = i / p.block, at = i % p.block;
  y[p.y_offset + c * p.y_stride + at] = x[p.x_offset + c * p.x_stride + at];
}

}  // namespace

void copy_blocks_forward(Context& context, float* y, const float* x, const CopyBlocksParams& p) {
  launch_threads(context, p.count * p.block, copy_blocks_v1, y, x, p);
}

GRAFT_KERNEL(copy_blocks, forward, GRAFT_GPU, float, CopyBlocksForward);

}  // namespace graft::GRAFT_GPU
