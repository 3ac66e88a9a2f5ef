#include "io/weights/weights.h"

#include <algorithm>

#include "io/weights/npz.h"
#include "io/weights/safetensors.h"
#include "io/weights/torch_legacy.h"
#include "io/weights/torch_zip.h"
#include "io/weights/unpickle.h"

namespace graft::io {

std::string_view name(WeightFormat f) {
  constexpr std::string_view kNames[] = {"safetensors", "torch zip", "torch legacy", "npz", "npy"};
  return kNames[int(f)];
}

WeightFile parse_weights(ByteSpan content, std::string_view where) {
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  if (text.starts_with("PK")) {
    ZipReader zip(content, std::string(where));
    return is_torch_zip(zip) ? parse_torch_zip(zip, where) : parse_npz(zip, where);
  }
  if (text.starts_with("\x93NUMPY")) return {WeightFormat::npy, {{"arr_0", parse_npy(content, where)}}, {}};
  if (is_torch_legacy(content)) return parse_torch_legacy(content, where);
  if (text.size() > 8 && text[8] == '{') return parse_safetensors(content, where);
  if (text.starts_with('\x80') || text.starts_with('c')) {
    // Some other pickle. If it names what it must not, that is the thing to say.
    size_t position = 0;
    unpickle(content, position, where);
    throw LoadError(fmt::format("{}: expected a file of torch.save, got another pickle", where));
  }
  std::string start;
  for (std::byte b : content.first(std::min<size_t>(8, content.size()))) start += fmt::format("{:02x} ", unsigned(b));
  throw LoadError(
      fmt::format("{}: unknown format: expected safetensors, PyTorch (.pth, .pt, .th), npz or npy, got {} bytes "
                  "beginning {}",
                  where, content.size(), start.empty() ? "with nothing" : start));
}

WeightFile load_weight_file(const std::filesystem::path& path) { return parse_weights(read_file(path), path.string()); }

NamedTensors load_weights(const std::filesystem::path& path) { return load_weight_file(path).tensors; }

}  // namespace graft::io
