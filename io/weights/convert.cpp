#include "io/weights/convert.h"

namespace graft::io {

Conversion convert(const std::filesystem::path& in, const std::filesystem::path& out) {
  const bool npz = out.extension() == ".npz";
  check<ConfigError>(npz || out.extension() == ".safetensors", "{}: output: expected .safetensors or .npz, got '{}'", out.string(),
                     out.extension().string());
  const WeightFile file = load_weight_file(in);
  Conversion done{file.format, npz ? WeightFormat::npz : WeightFormat::safetensors, int64_t(file.tensors.size())};
  for (const auto& [name, t] : file.tensors) done.bytes += int64_t(t.bytes());
  if (npz) save_npz(out, file.tensors);
  else save_safetensors(out, file.tensors, file.metadata);
  return done;
}

}  // namespace graft::io
