#include "io/weights/npz.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const io::ByteSpan bytes = std::as_bytes(std::span(data, size));
  try {
    if (size > 2 && data[0] == 'P') {
      io::ZipReader zip(bytes, "input");
      io::parse_npz(zip, "input");
    } else {
      io::parse_npy(bytes, "input");
    }
  } catch (const LoadError&) {
  }
  return 0;
}
