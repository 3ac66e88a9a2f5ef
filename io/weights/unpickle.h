// A restricted unpickler: it builds containers, numbers, text and descriptions of tensors, and executes nothing.
// Any global outside the list of unpickle.cpp, and any opcode that torch.save has no use for, is refused by name.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "kernels/common/dtype.h"

namespace graft::io {

struct Pickle {
  // Objects name each other by index: shared and cyclic references cost nothing and nothing is freed recursively.
  using Ref = uint32_t;
  enum class Kind : uint8_t { none, boolean, integer, real, text, tuple, list, dict, global, storage, tensor };
  struct Object {
    Kind kind;
    int64_t integer = 0;     // boolean, integer
    std::string_view text;   // text; of a global its name. A view of the content
    std::vector<Ref> items;  // tuple, list; dict: key, value, key, ..; storage: persistent id; tensor: see below
  };
  std::vector<Object> objects;
  Ref root = 0;

  const Object& operator[](Ref r) const { return objects[r]; }
  // storage: ("storage", type global, key text, location, count integer, [view: none or (key, offset, count)])
  // tensor: (storage, offset integer, sizes tuple, strides tuple), the kinds already checked
  DType storage_dtype(const Object& storage) const;
};

// Reads one pickle from content[position..] and moves position behind it. Throws LoadError.
Pickle unpickle(ByteSpan content, size_t& position, std::string_view where);

}  // namespace graft::io
