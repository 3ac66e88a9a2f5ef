#include "kernels/runtime/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace graft::cuda {

Staging::~Staging() {
  for (Buffer& b : buffers_) {
    if (!b.data) continue;
    driver_.finish(b.event);
    driver_.destroy_event(b.event);
    driver_.release_pinned(b.data);
  }
}

Staging::Buffer& Staging::ready(size_t chunk) {
  Buffer& b = buffers_[chunk % 2];
  if (b.data) {
    driver_.finish(b.event);
  } else {
    b.data = static_cast<std::byte*>(driver_.allocate_pinned(kBytes));
    b.event = driver_.create_event();
  }
  return b;
}

void Staging::to_device(void* to, const void* from, size_t bytes, void* stream) {
  std::lock_guard lock(mutex_);
  for (size_t done = 0, chunk = 0; done < bytes; done += kBytes, ++chunk) {
    const size_t n = std::min(kBytes, bytes - done);
    Buffer& b = ready(chunk);
    std::memcpy(b.data, static_cast<const std::byte*>(from) + done, n);
    driver_.copy(static_cast<std::byte*>(to) + done, b.data, n, stream);
    driver_.record(b.event, stream);
  }
}

void Staging::to_host(void* to, const void* from, size_t bytes, void* stream) {
  std::lock_guard lock(mutex_);
  const size_t chunks = (bytes + kBytes - 1) / kBytes;
  const auto size = [&](size_t chunk) { return std::min(kBytes, bytes - chunk * kBytes); };
  for (size_t chunk = 0; chunk <= chunks; ++chunk) {
    if (chunk < chunks) {
      Buffer& b = ready(chunk);
      driver_.copy(b.data, static_cast<const std::byte*>(from) + chunk * kBytes, size(chunk), stream);
      driver_.record(b.event, stream);
    }
    if (chunk > 0) {
      Buffer& b = ready(chunk - 1);
      std::memcpy(static_cast<std::byte*>(to) + (chunk - 1) * kBytes, b.data, size(chunk - 1));
    }
  }
}

}  // namespace graft::cuda
