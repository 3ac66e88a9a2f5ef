// Weight files: named tensors in and out. What a file is decides its content, not its extension.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/atomic_file.h"
#include "tensor/tensor.h"

namespace graft::io {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using Metadata = std::map<std::string, std::string>;

enum class WeightFormat { safetensors, torch_zip, torch_legacy, npz, npy };
std::string_view name(WeightFormat);

// What the compressed entries of one file may unpack to in all. Files that are not compressed have no limit but their
// size.
inline constexpr int64_t kMaxUnpackedBytes = int64_t{4} << 30;

struct WeightFile {
  WeightFormat format;
  NamedTensors tensors;  // in file order; layouts as stored (PyTorch: [out, in, kh, kw])
  Metadata metadata;     // safetensors only
};

// Reads safetensors, PyTorch .pth/.pt/.th (zip or the older pickle stream; nothing in it is executed), npz and npy.
// Nested dicts give dotted names, a top-level `state_dict` is unwrapped, what is no tensor is passed over; a bare
// tensor is named "tensor" (npy: "arr_0", as numpy does). Throws LoadError "path: what: expected X, got Y (hint)".
WeightFile load_weight_file(const std::filesystem::path& path);
NamedTensors load_weights(const std::filesystem::path& path);
WeightFile parse_weights(ByteSpan content, std::string_view where);  // `where` opens the error messages

// Written atomically (io/atomic_file.h). Duplicate names, and names the format cannot hold, throw ConfigError.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata = {});
// Not compressed. bf16, which npy lacks, is widened to f32. At most 4 GiB in all.
void save_npz(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace graft::io
