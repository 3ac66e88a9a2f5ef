// PyTorch files before 1.6: five pickles one after another (magic number, protocol version, type sizes, the state, the
// storage keys), then for each key an int64 count and the elements.
#pragma once
#include "io/weights/weights.h"

namespace graft::io {

bool is_torch_legacy(ByteSpan content);
WeightFile parse_torch_legacy(ByteSpan content, std::string_view where);

}  // namespace graft::io
