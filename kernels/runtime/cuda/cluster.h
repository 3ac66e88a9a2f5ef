// launch() with blocks in clusters. Compiled by nvcc only.
#pragma once
#include <cuda_runtime.h>

#include "kernels/common/context.h"

namespace graft::cuda {

template <class... P, class... A>
void launch_cluster(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared_bytes, Context& context, A... args) {
  if (shared_bytes > (48 << 10))  // more has to be asked for
    cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster.x, attribute.val.clusterDim.y = cluster.y, attribute.val.clusterDim.z = cluster.z;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(context.stream());
  config.attrs = &attribute, config.numAttrs = 1;
  cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

}  // namespace graft::cuda
