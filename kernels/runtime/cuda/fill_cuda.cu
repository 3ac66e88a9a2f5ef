// Every element of an array becomes one value. (cudaMemset knows bytes only.)
#include "kernels/runtime/cuda/fill.h"

#include <cstring>

#include "kernels/common/launch.h"

namespace graft::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) fill_v1(T* to, T value, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) to[i] = value;
}

template <class T>
void fill(void* to, const void* value, int64_t n, void* stream) {
  T v;
  std::memcpy(&v, value, sizeof v);
  launch(fill_v1<T>, blocks_for(n, kThreads), kThreads, 0, stream, static_cast<T*>(to), v, n);
}

}  // namespace

void fill_values(void* to, const void* value, size_t value_bytes, int64_t n, void* stream) {
  switch (value_bytes) {
    case 1: return fill<uint8_t>(to, value, n, stream);
    case 2: return fill<uint16_t>(to, value, n, stream);
    case 4: return fill<uint32_t>(to, value, n, stream);
    default: return fill<uint64_t>(to, value, n, stream);
  }
}

}  // namespace graft::cuda
