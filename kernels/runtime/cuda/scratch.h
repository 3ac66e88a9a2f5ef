// Device memory for the duration of an op, in the order of its stream: the driver's pool serves it without a
// synchronisation, inside a graph capture too. Compiled by nvcc only.
#pragma once
#include <cuda_runtime.h>

#include "kernels/common/context.h"
#include "kernels/runtime/cuda/memory.h"

namespace graft::cuda {

template <class T>
class DeviceScratch {
 public:
  DeviceScratch(Context& context, size_t n) : stream_(static_cast<cudaStream_t>(context.stream())) {
    if (n == 0) return;
    const cudaError_t e = cudaMallocAsync(reinterpret_cast<void**>(&data_), n * sizeof(T), stream_);
    if (e != cudaSuccess) throw_no_scratch(n * sizeof(T), cudaGetErrorString(e));
  }
  ~DeviceScratch() {
    if (data_) cudaFreeAsync(data_, stream_);
  }
  DeviceScratch(const DeviceScratch&) = delete;
  T* get() const { return data_; }

 private:
  cudaStream_t stream_;
  T* data_ = nullptr;
};

}  // namespace graft::cuda
