// Any readable weight file to .safetensors or .npz (`graft convert`).
#pragma once
#include <filesystem>

#include "io/weights/weights.h"

namespace graft::io {

struct Conversion {
  WeightFormat from, to;
  int64_t tensors = 0, bytes = 0;
};

// The extension of `out` (.safetensors or .npz) names the format: ConfigError for others. Metadata survives only in
// safetensors. Errors as load_weights and save_*.
Conversion convert(const std::filesystem::path& in, const std::filesystem::path& out);

}  // namespace graft::io
