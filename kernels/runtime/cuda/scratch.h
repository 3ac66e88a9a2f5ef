// Device memory for the duration of an op, in the order of its stream.
#pragma once
#include "kernels/common/context.h"

namespace graft::cuda {

void* allocate_scratch(size_t bytes, void* stream);  // of the current device; memory.cpp, since nvcc does not see libfmt
void free_scratch(void* p, void* stream);

template <class T>
class DeviceScratch {
 public:
  DeviceScratch(Context& context, size_t n)
      : stream_(context.stream()), data_(static_cast<T*>(allocate_scratch(n * sizeof(T), stream_))) {}
  ~DeviceScratch() { free_scratch(data_, stream_); }
  DeviceScratch(const DeviceScratch&) = delete;
  T* get() const { return data_; }

 private:
  void* stream_;
  T* data_;
};

}  // namespace graft::cuda
