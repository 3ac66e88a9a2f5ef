// safetensors: 8 bytes header length, a JSON header {name: {dtype, shape, data_offsets}}, the data, nothing else.
// https://huggingface.co/docs/safetensors
#pragma once
#include "io/weights/weights.h"

namespace graft::io {

// Header length, syntax, names, dtypes, shapes and offsets (no hole, no overlap, no byte left) are all checked against
// the size of the content before any tensor is allocated.
WeightFile parse_safetensors(ByteSpan content, std::string_view where);

// The header in the order of `tensors`; the data widest type first, so that every tensor is aligned.
void write_safetensors(AtomicFile& file, const NamedTensors& tensors, const Metadata& metadata, std::string_view where);

}  // namespace graft::io
