// Pictures: PNG, JPEG and BMP by stb_image, 8 bits a channel.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "io/file.h"

namespace graft::io {

struct Image {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;  // [height, width, channels]
};

inline constexpr int64_t kMaxImagePixels = int64_t{1} << 26;  // 64 megapixels; checked before anything is allocated

// channels: 1 grey, 3 RGB, or 0 as stored (alpha is dropped). LoadError when the bytes are not such a picture, are
// truncated or corrupt (PNG check sums, JPEG markers to the end of the image), or claim more than the cap.
Image decode_image(ByteSpan, std::string_view where, int64_t channels = 0);
Image read_image(const std::filesystem::path&, int64_t channels = 0);

// The sizes alone, from the header; `pixels` stays empty.
Image image_header(ByteSpan, std::string_view where);

bool has_image_extension(std::string_view name);  // .png .jpg .jpeg .bmp, any case

}  // namespace graft::io
