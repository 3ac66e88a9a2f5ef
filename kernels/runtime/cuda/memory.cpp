#include "kernels/runtime/cuda/memory.h"

#include "kernels/runtime/cuda/scratch.h"

namespace graft::cuda {

void Memory::to_device(void* to, const void* from, size_t bytes, void* stream) {
  if (!bytes) return;
  check<DeviceError>(!allocator.capturing(stream),
                     "cuda: a copy from the host inside a recorded graph (copy into a tensor that exists before)");
  staging_.to_device(to, from, bytes, stream);
}

void Memory::to_host(void* to, const void* from, size_t bytes, void* stream) {
  if (!bytes) return;
  check<DeviceError>(!allocator.capturing(stream), "cuda: a value is brought to the host inside a recorded graph");
  staging_.to_host(to, from, bytes, stream);
}

void Memory::copy(void* to, const void* from, size_t bytes, void* stream) {
  if (bytes) driver_.copy(to, from, bytes, stream);
}

void Memory::fill(void* to, const void* value, size_t value_bytes, int64_t n, void* stream) {
  if (n) driver_.fill(to, value, value_bytes, n, stream);
}

void* allocate_scratch(size_t bytes, void* stream) { return memory(current_device()).allocator.allocate(bytes, stream); }
void free_scratch(void* p, void* stream) { memory(current_device()).allocator.deallocate(p, stream); }

}  // namespace graft::cuda
