#include "kernels/runtime/cuda/memory.h"

#include "kernels/common/error.h"

namespace graft::cuda {

void throw_no_scratch(size_t bytes, const char* reason) {
  throw DeviceError(fmt::format("cuda: {} bytes of scratch memory: {}", bytes, reason));
}

}  // namespace graft::cuda
