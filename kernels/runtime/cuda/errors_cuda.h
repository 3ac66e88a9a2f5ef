// Errors of the CUDA runtime as DeviceError. For *_cuda.cpp; kernels throw from there too (libfmt does not compile under nvcc).
#pragma once
#include <cuda_runtime.h>

#include "kernels/common/error.h"

namespace graft::cuda {

inline void check_cuda(cudaError_t e, const char* what) {
  if (e == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // it is reported now
  throw DeviceError(fmt::format("cuda: {}: {} ({}; an earlier kernel may be to blame, GRAFT_CUDA_SYNC=1 names it)", what,
                                cudaGetErrorString(e), cudaGetErrorName(e)));
}

}  // namespace graft::cuda
