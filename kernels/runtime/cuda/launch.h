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
bool may_start_early();  // on the current device; GRAFT_CUDA_EARLY=0: no kernel may

#if defined(__CUDACC__)
// simt.h. Code for sm_80 has no such instruction, and there no kernel starts early.
struct Previous {
  __device__ void wait() const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile(
        "griddepcontrol.launch_dependents;\n\t"  // once all blocks have come so far, the next kernel's may take free places
        "griddepcontrol.wait;" ::
            : "memory");
#endif
  }
};

// A cluster of no blocks: no clusters.
template <class... P, class... A>
void launch_with(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared_bytes, void* stream, bool early,
                 A... args) {
  const void* const name = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > (48 << 10)) allow_shared(name, grid, block, shared_bytes);  // more has to be asked for
  cudaLaunchAttribute attributes[2]{};
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream), config.attrs = attributes;
  if (cluster.x > 0) {
    cudaLaunchAttribute& a = attributes[config.numAttrs++];
    a.id = cudaLaunchAttributeClusterDimension;
    a.val.clusterDim.x = cluster.x, a.val.clusterDim.y = cluster.y, a.val.clusterDim.z = cluster.z;
  }
  if (early && may_start_early()) {
    cudaLaunchAttribute& a = attributes[config.numAttrs++];
    a.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    a.val.programmaticStreamSerializationAllowed = 1;
  }
  (void)cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);  // launched() asks what went wrong
  launched(name, grid, block, shared_bytes, stream);
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, void* stream, A... args) {
  launch_with(kernel, grid, dim3(0), block, shared_bytes, stream, false, args...);
}
template <class... P, class... A>
void launch(void (*kernel)(Previous, P...), dim3 grid, dim3 block, size_t shared_bytes, void* stream, A... args) {
  launch_with(kernel, grid, dim3(0), block, shared_bytes, stream, true, Previous{}, args...);
}
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, Context& context, A... args) {
  launch(kernel, grid, block, shared_bytes, context.stream(), args...);
}
#endif

}  // namespace graft::cuda
