#include "io/weights/torch_legacy.h"
#include "io/weights/unpickle.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::ByteSpan bytes = std::as_bytes(std::span(data, size));
  try {
    // Any content is tried as a bare pickle, and as a whole file if it has the magic number.
    if (io::is_torch_legacy(bytes)) io::parse_torch_legacy(bytes, "input");
    size_t position = 0;
    io::unpickle(bytes, position, "input");
    if (position > bytes.size()) __builtin_trap();
  } catch (const LoadError&) {
  }
  return 0;
}
