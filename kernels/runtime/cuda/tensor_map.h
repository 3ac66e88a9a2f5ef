// The driver's encoding of kernels/common/tensor_map.h.
#pragma once
#include <cstdint>

namespace graft {
struct TiledTensor;
struct Im2colTensor;
}  // namespace graft

namespace graft::cuda {

struct alignas(128) TensorMap {  // CUtensorMap
  uint64_t opaque[16];
};
TensorMap tensor_map(const TiledTensor&);  // DeviceError
TensorMap tensor_map(const Im2colTensor&);

[[noreturn]] void throw_tensor_map(const char* call, int error, const TiledTensor*, const Im2colTensor*);

}  // namespace graft::cuda
