// IDX, the format of the MNIST family: magic 00 00 TYPE RANK, big-endian sizes, then the elements row-major.
#pragma once
#include "io/file.h"
#include "tensor/tensor.h"

namespace graft::io {

// u8 tensor of rank 1 to 4. LoadError when it is not IDX of unsigned bytes, or its length is not what the header says.
Tensor parse_idx(ByteSpan, std::string_view where);
Tensor read_idx(const std::filesystem::path&);  // plain or .gz

// u8 [..] as IDX bytes, uncompressed.
Bytes write_idx(const Tensor&);

}  // namespace graft::io
