#include "io/archive.h"
#include "io/datasets/image_folder.h"
#include "kernels/common/error.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::ByteSpan bytes = std::as_bytes(std::span(data, size));
  constexpr io::UnpackLimits kLimits{.entry = 1 << 18, .total = 1 << 20, .members = 100};
  try {
    int64_t unpacked = 0;
    io::for_each_member(
        bytes, "input", [&](const std::string&, io::Bytes content) { unpacked += int64_t(content.size()); }, kLimits);
    if (unpacked > kLimits.total) __builtin_trap();
    io::decode_image_files(io::read_image_files(bytes, "input"), {.size = 4}, "input");  // small: the limits held
  } catch (const LoadError&) {
  }
  return 0;
}
