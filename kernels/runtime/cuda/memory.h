// The memory of one device: blocks for tensors and scratch, and copies between it and the host. All in the order of a stream.
#pragma once
#include "kernels/runtime/cuda/allocator.h"
#include "kernels/runtime/cuda/staging.h"

namespace graft::cuda {

class Memory {
 public:
  explicit Memory(Driver& driver) : allocator(driver), driver_(driver), staging_(driver) {}

  // `from` may be changed on return. DeviceError on a stream that is being recorded: a replay would not copy again.
  void to_device(void* to, const void* from, size_t bytes, void* stream);
  void to_host(void* to, const void* from, size_t bytes, void* stream);  // the bytes are there on return
  void copy(void* to, const void* from, size_t bytes, void* stream);     // within the device
  void fill(void* to, const void* value, size_t value_bytes, int64_t n, void* stream);

  Allocator allocator;

 private:
  Driver& driver_;
  Staging staging_;
};

Memory& memory(int device);  // DeviceError when there is no such device

}  // namespace graft::cuda
