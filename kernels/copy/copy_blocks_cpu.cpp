#include <algorithm>
#include <cstring>

#include "kernels/common/registry.h"
#include "kernels/copy/copy_blocks.h"

namespace graft::cpu {

void copy_blocks_forward(Context& context, float* y, const float* x, const CopyBlocksParams& p) {
  constexpr int64_t kPiece = 1 << 14;
  if (p.block == 0) return;
  const int64_t pieces = (p.block + kPiece - 1) / kPiece;        // of a long block, or
  const int64_t grain = std::max<int64_t>(1, kPiece / p.block);  // short blocks a task
  context.pool().parallel_range(p.count * pieces, grain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t c = t / pieces, begin = t % pieces * kPiece;
      std::memcpy(y + p.y_offset + c * p.y_stride + begin, x + p.x_offset + c * p.x_stride + begin,
                  size_t(std::min(kPiece, p.block - begin)) * sizeof(float));
    }
  });
}

GRAFT_KERNEL(copy_blocks, forward, cpu, float, CopyBlocksForward);

}  // namespace graft::cpu
