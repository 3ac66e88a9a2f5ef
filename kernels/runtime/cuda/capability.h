// What the current device can do. Compiled by nvcc only.
#pragma once
#include <cuda_runtime.h>

namespace graft::cuda {

// Whether it runs the machine code of sm_90a: wgmma and setmaxnreg exist there and nowhere else, TMA and clusters from there on.
inline bool device_is_hopper() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9;
}

// How many it has: blocks of kernels that take one item of work after another.
inline int multiprocessors() {
  int device = 0, count = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
                 cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess && count > 0
             ? count
             : 132;  // of an H100; a launch will say what is wrong
}

}  // namespace graft::cuda
