// What most SIMT kernels launch with: one-dimensional grids of at most kThreads threads a block, scratch memory that kernels may
// touch, and what the device is: device_is_hopper(), multiprocessors().
#pragma once
#include "kernels/common/simt.h"
#if defined(__CUDACC__)
#include "kernels/runtime/cuda/capability.h"
#include "kernels/runtime/cuda/scratch.h"
#else
#include "kernels/runtime/emu/hopper.h"
#endif

namespace graft::GRAFT_GPU {

inline constexpr int kThreads = 256;

// Whether the host can read what kernels read: then arguments are checked before a launch.
#if defined(__CUDACC__)
inline constexpr bool kHostMemory = false;
template <class T>
DeviceScratch<T> device_scratch(Context& context, size_t n) {
  return DeviceScratch<T>(context, n);
}
#else
inline constexpr bool kHostMemory = true;
template <class T>
Scratch<T> device_scratch(Context& context, size_t n) {
  return context.scratch<T>(n);
}
#endif

// `threads` a multiple of 32, at most kThreads. Nothing for no blocks.
template <class... P, class... A>
void launch_blocks(Context& context, int64_t blocks, int threads, void (*kernel)(P...), const A&... args) {
  if (blocks > 0) launch(kernel, dim3(unsigned(blocks)), dim3(unsigned(threads)), 0, context, args...);
}

// At least n threads: a kernel returns where global_thread() >= n.
template <class... P, class... A>
void launch_threads(Context& context, int64_t n, void (*kernel)(P...), const A&... args) {
  launch_blocks(context, ceil_div(n, kThreads), kThreads, kernel, args...);
}

}  // namespace graft::GRAFT_GPU
