#include "io/images.h"
#include "io/resize.h"
#include "kernels/common/error.h"

using namespace graft;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const io::Image image = io::decode_image(std::as_bytes(std::span(data, size)), "input", size % 3 == 0 ? 3 : 0);
    if (int64_t(image.pixels.size()) != image.height * image.width * image.channels) __builtin_trap();
    if (image.height * image.width < 1 << 16) io::resize_and_crop(image, 7);
  } catch (const LoadError&) {
  }
  return 0;
}
