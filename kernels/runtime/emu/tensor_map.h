// kernels/common/tensor_map.h on the host, by the driver's rules.
#pragma once
#include "kernels/common/tensor_map.h"

namespace graft::emu {

struct alignas(64) TensorMap {
  TiledTensor tensor;  // of an im2col map too, but for its box
  bool im2col = false;
  int lower[3], upper[3], channels, pixels;

  int element_bytes() const { return int(dtype_size(tensor.dtype)); }
  int rows() const;  // of a box, each of row_bytes()
  int row_bytes() const { return (im2col ? channels : tensor.box[0]) * element_bytes(); }
};
TensorMap tensor_map(const TiledTensor&);  // DeviceError
TensorMap tensor_map(const Im2colTensor&);

}  // namespace graft::emu
