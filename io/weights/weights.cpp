#include "io/weights/weights.h"

#include "io/weights/safetensors.h"

namespace graft::io {

std::string_view name(WeightFormat f) {
  constexpr std::string_view kNames[] = {"safetensors", "torch zip", "torch legacy", "npz", "npy"};
  return kNames[int(f)];
}

WeightFile parse_weights(ByteSpan content, std::string_view where) {
  return parse_safetensors(content, where);
}

WeightFile load_weight_file(const std::filesystem::path& path) {
  return parse_weights(read_file(path), path.string());
}

NamedTensors load_weights(const std::filesystem::path& path) { return load_weight_file(path).tensors; }

}  // namespace graft::io
