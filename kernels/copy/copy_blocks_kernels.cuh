// Copies blocks of adjacent elements between strided places; f32 and bf16.
//
// v1 plain    one thread an element; a warp inside one block reads and writes whole lines; accepts all
// v2 vectors  one thread 16 bytes. Addresses, blocks, offsets and strides in units of 16 bytes. 8 bytes an element in f32, 4 in
// bf16
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/copy/copy_blocks.h"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) copy_blocks_v1_v2(T* y, const T* x, CopyBlocksParams p) {
  const int64_t i = global_thread();
  if (i >= p.count * p.block) return;
  const int64_t c = i / p.block, at = i % p.block;
  y[p.y_offset + c * p.y_stride + at] = x[p.x_offset + c * p.x_stride + at];
}

template <class T>
void run_v1(Context& context, T* y, const T* x, const CopyBlocksParams& p) {
  launch_threads(context, p.count * p.block, copy_blocks_v1_v2<T>, y, x, p);
}
template <class T>
bool supports_v2(T* y, const T* x, const CopyBlocksParams& p) {
  for (int64_t n : {p.block, p.x_offset, p.x_stride, p.y_offset, p.y_stride})
    if (n % kVector<T> != 0) return false;
  return aligned_16(y, x);
}
template <class T>
void run_v2(Context& context, T* y, const T* x, const CopyBlocksParams& p) {
  constexpr int64_t k = kVector<T>;
  const CopyBlocksParams q{p.count, p.block / k, p.x_offset / k, p.x_stride / k, p.y_offset / k, p.y_stride / k};
  launch_threads(context, q.count * q.block, copy_blocks_v1_v2<uint4>, reinterpret_cast<uint4*>(y),
                 reinterpret_cast<const uint4*>(x), q);
}

template <class T>
constexpr Rung<CopyBlocksForward<T>> kCopyBlocks[] = {
    {{1, "plain"}, accepts_all, run_v1<T>},
    {{2, "vectors"}, supports_v2<T>, run_v2<T>},
};

}  // namespace

template <class T>
void copy_blocks_forward(Context& context, T* y, const T* x, const CopyBlocksParams& p) {
  run_version(Op::copy_blocks, kCopyBlocks<T>, context, y, x, p);
}

GRAFT_GPU_KERNEL(copy_blocks, forward, CopyBlocksForward, kCopyBlocks);

}  // namespace graft::GRAFT_GPU
