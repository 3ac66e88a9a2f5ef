#include "io/weights/torch_zip.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::ByteSpan bytes = std::as_bytes(std::span(data, size));
  try {
    io::ZipReader zip(bytes, "input");
    io::parse_torch_zip(zip, "input");
  } catch (const LoadError&) {
  }
  return 0;
}
