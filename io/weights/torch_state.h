// From an unpickled state to named tensors; shared by both PyTorch containers.
#pragma once
#include <functional>
#include <string_view>

#include "io/weights/unpickle.h"
#include "io/weights/weights.h"

namespace graft::io {

// The bytes of a storage by its key; must be count elements of dtype, or throw LoadError.
using StorageReader = std::function<ByteSpan(std::string_view key, DType dtype, int64_t count)>;

// Walks dicts and lists into dotted names and copies every view out of its storage, within its bounds. The views of one
// storage may hold at most 16 times its elements and 1,024 more in all: ties and slices do, bombs do not.
NamedTensors named_tensors(const Pickle& pickle, const StorageReader& storage, std::string_view where);

}  // namespace graft::io
