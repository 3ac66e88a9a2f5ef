// The GPU's side of kernels/common/simt.h. Compiled by nvcc only.
#pragma once
#include <cuda_runtime.h>

#include "kernels/common/context.h"

namespace graft::cuda {

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

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, Context& context, A... args) {
  if (shared_bytes > (48 << 10))  // more has to be asked for
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(context.stream())>>>(static_cast<P>(args)...);
}

}  // namespace graft::cuda
