#include "io/archive.h"
#include "io/idx.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::ByteSpan bytes = std::as_bytes(std::span(data, size));
  try {
    const bool packed = io::is_gzip(bytes);
    const io::Bytes plain = packed ? io::gunzip(bytes, "input", 1 << 20) : io::Bytes(bytes.begin(), bytes.end());
    if (io::write_idx(io::parse_idx(plain, "input")) != plain) __builtin_trap();
  } catch (const LoadError&) {
  }
  return 0;
}
