#include "io/weights/safetensors.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::ByteSpan bytes = std::as_bytes(std::span(data, size));
  try {
    io::parse_safetensors(bytes, "input");
  } catch (const LoadError&) {
  }
  return 0;
}
