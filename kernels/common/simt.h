// CUDA kernels, written once: nvcc compiles them for the GPU (`cuda`), g++ against the executor of kernels/runtime/emu
// (`emu`). A kernel is plain CUDA but for what stands here:
//
//   namespace graft::GRAFT_GPU {                            // cuda or emu
//   namespace {
//   constexpr int kThreads = 256;                           // one constant for the bound and for the launch
//   __global__ void __launch_bounds__(kThreads) row_sum(float* y, const float* x, int64_t n) {
//     struct Smem { float part[kThreads]; };
//     auto& s = shared<Smem>();                             // instead of __shared__; dynamic_shared<T>() for the rest
//     ...
//   }
//   }
//   void row_sum_forward(Context& context, ...) {
//     launch(row_sum, rows, kThreads, 0, context, y, x, n); // instead of <<<grid, block, bytes, stream>>>
//   }
//   GRAFT_KERNEL(row_sum, forward, GRAFT_GPU, float, RowSumForward);
//   }
//
// in <op>_kernels.cuh; <op>_cuda.cu and <op>_emu.cpp each only include that file.
#pragma once
#include <cstdint>

#include "kernels/common/context.h"

#if defined(__CUDACC__)
#define GRAFT_GPU cuda
#include "kernels/runtime/cuda/launch.h"
#else
#define GRAFT_GPU emu
#include "kernels/runtime/emu/cuda.h"
#endif

namespace graft {

__host__ __device__ constexpr int64_t ceil_div(int64_t n, int64_t by) { return (n + by - 1) / by; }

}  // namespace graft

namespace graft::GRAFT_GPU {

inline constexpr unsigned kFullWarp = 0xffffffffu;

// A bound beyond which a kernel does something else: on emu so low that cases which it can run reach what lies there.
template <class T>
constexpr T gpu_or_emu([[maybe_unused]] T gpu, [[maybe_unused]] T emu) {
#if defined(__CUDACC__)
  return gpu;
#else
  return emu;
#endif
}

// Blocks for n items, at most kMaxGrid: the kernel strides over the rest, for (int64_t i = global_thread(); i < n; i +=
// global_threads()).
inline unsigned blocks_for(int64_t n, int64_t threads) {
  constexpr int64_t kMaxGrid = gpu_or_emu<int64_t>(132 * 32, 4);  // a few waves of the largest GPU here (132 SMs)
  const int64_t blocks = ceil_div(n, threads);
  return unsigned(blocks < kMaxGrid ? blocks : kMaxGrid);
}
__device__ inline int64_t global_thread() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t global_threads() { return int64_t(gridDim.x) * blockDim.x; }

__device__ inline float warp_sum(float v) {
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(kFullWarp, v, d);
  return v;
}
// NaN in any lane gives NaN, unlike fmaxf.
__device__ inline float max_nan(float a, float b) { return a > b || a != a ? a : b; }
__device__ inline float warp_max(float v) {
  for (int d = 16; d > 0; d /= 2) v = max_nan(v, __shfl_xor_sync(kFullWarp, v, d));
  return v;
}

// Of a block of kThreads along x, in every thread; the order of additions is fixed.
template <int kThreads, class Combine>
__device__ inline float block_combine(float v, Combine combine) {
  struct Smem {
    float warp[kThreads / 32];
  };
  auto& s = shared<Smem>();
  __syncthreads();  // the readers of an earlier call are done
  if (threadIdx.x % 32 == 0) s.warp[threadIdx.x / 32] = v;
  __syncthreads();
  float all = s.warp[0];
  for (int w = 1; w < kThreads / 32; ++w) all = combine(all, s.warp[w]);
  return all;
}
struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct MaxNan {
  __device__ float operator()(float a, float b) const { return max_nan(a, b); }
};
template <int kThreads>
__device__ inline float block_sum(float v) {
  return block_combine<kThreads>(warp_sum(v), Add{});
}
template <int kThreads>
__device__ inline float block_max(float v) {
  return block_combine<kThreads>(warp_max(v), MaxNan{});
}

}  // namespace graft::GRAFT_GPU
