// launch() with blocks in clusters. Compiled by nvcc only.
#pragma once
#include "kernels/runtime/cuda/launch.h"

namespace graft::cuda {

template <class... P, class... A>
void launch_cluster(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared_bytes, Context& context, A... args) {
  const void* const name = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > (48 << 10)) allow_shared(name, grid, block, shared_bytes);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = cluster.x, attribute.val.clusterDim.y = cluster.y, attribute.val.clusterDim.z = cluster.z;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(context.stream());
  config.attrs = &attribute, config.numAttrs = 1;
  (void)cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);  // launched() asks what went wrong
  launched(name, grid, block, shared_bytes, context.stream());
}

}  // namespace graft::cuda
