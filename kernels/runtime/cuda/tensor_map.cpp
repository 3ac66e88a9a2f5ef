#include "kernels/runtime/cuda/tensor_map.h"

#include "kernels/common/error.h"
#include "kernels/common/tensor_map.h"

namespace graft::cuda {

void throw_tensor_map(const char* call, int error, const TiledTensor* tiled, const Im2colTensor* im2col) {
  std::string sizes;
  const auto list = [&](int rank, const int64_t(&size)[5], const void* data) {
    for (int i = 0; i < rank; ++i) sizes += fmt::format("{}{}", i ? ", " : " for a tensor, innermost first, of ", size[i]);
    sizes += fmt::format(" at {}", data);
  };
  if (tiled) list(tiled->rank, tiled->size, tiled->data);
  if (im2col) list(im2col->rank, im2col->size, im2col->data);
  throw DeviceError(fmt::format("cuda: {}: error {}{}", call, error, sizes));
}

}  // namespace graft::cuda
