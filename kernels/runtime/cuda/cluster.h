// launch() with blocks in clusters. Compiled by nvcc only.
#pragma once
#include "kernels/runtime/cuda/launch.h"

namespace graft::cuda {

template <class... P, class... A>
void launch_cluster(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared_bytes, Context& context, A... args) {
  launch_with(kernel, grid, cluster, block, shared_bytes, context.stream(), false, args...);
}
template <class... P, class... A>
void launch_cluster(void (*kernel)(Previous, P...), dim3 grid, dim3 cluster, dim3 block, size_t shared_bytes, Context& context,
                    A... args) {
  launch_with(kernel, grid, cluster, block, shared_bytes, context.stream(), true, Previous{}, args...);
}

}  // namespace graft::cuda
