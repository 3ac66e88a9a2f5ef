// The GPU's side of kernels/common/simt.h.
#pragma once
#include <cuda_runtime.h>

#include "kernels/common/context.h"

namespace graft::cuda {

#if defined(__CUDACC__)
template <class T>
__device__ T& shared() {
  alignas(alignof(T) < 16 ? 16 : alignof(T)) __shared__ unsigned char bytes[sizeof(T)];
  return reinterpret_cast<T&>(bytes);
}

// One type for all: extern arrays of one name must agree. 16 bytes, because a larger alignment rounds up the shared size
// of every kernel of the file.
template <class T>
__device__ T* dynamic_shared() {
  static_assert(alignof(T) <= 16);
  extern __shared__ float4 dynamic_bytes[];
  return reinterpret_cast<T*>(dynamic_bytes);
}

// Named barriers of a block, id 1 to 15 (0 is __syncthreads); `threads`, a multiple of 32, take part in all.
__device__ inline void named_barrier_sync(int id, int threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ inline void named_barrier_arrive(int id, int threads) {
  asm volatile("barrier.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
#endif

// launch_cuda.cpp: errors name kernel, grid, block and shared memory. What a kernel does wrong while it runs shows at a later
// call, or with GRAFT_CUDA_SYNC=1 in launched(), which then waits for it.
void allow_shared(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes);
void launched(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, void* stream);

#if defined(__CUDACC__)
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, void* stream, A... args) {
  const void* const name = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > (48 << 10)) allow_shared(name, grid, block, shared_bytes);  // more has to be asked for
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(static_cast<P>(args)...);
  launched(name, grid, block, shared_bytes, stream);
}
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, Context& context, A... args) {
  launch(kernel, grid, block, shared_bytes, context.stream(), args...);
}
#endif

}  // namespace graft::cuda
