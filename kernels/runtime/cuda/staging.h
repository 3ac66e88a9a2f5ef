// Copies between ordinary host memory and the device, by way of two pinned buffers: the copy engine works on one while the
// other is filled or read (from memory that is not pinned the driver does the same, but lets the caller wait).
#pragma once
#include <mutex>

#include "kernels/runtime/cuda/driver.h"

namespace graft::cuda {

// Thread-safe.
class Staging {
 public:
  explicit Staging(Driver& driver) : driver_(driver) {}
  ~Staging();
  Staging(const Staging&) = delete;

  // In the order of the stream. `from` may be changed on return; the device may not have the bytes yet.
  void to_device(void* to, const void* from, size_t bytes, void* stream);
  // Returns when the bytes are there.
  void to_host(void* to, const void* from, size_t bytes, void* stream);

 private:
  static constexpr size_t kBytes = size_t{4} << 20;  // of a buffer: some 0.1 ms on PCIe 4
  struct Buffer {
    std::byte* data = nullptr;
    void* event = nullptr;  // its last copy has ended
  };
  Buffer& ready(size_t chunk);  // made, and no copy reads it

  Driver& driver_;
  std::mutex mutex_;
  Buffer buffers_[2];
};

}  // namespace graft::cuda
