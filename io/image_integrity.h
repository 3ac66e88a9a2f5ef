// stb_image reads past damage (missing ends decode as grey, check sums are skipped), so whole files are checked first.
#pragma once
#include <string_view>

#include "io/file.h"

namespace graft::io {

enum class ImageFormat { png, jpeg, bmp };

// PNG: chunks to IEND with right CRCs; JPEG: markers to EOI; BMP: as many pixel bytes as the header says.
// LoadError when the bytes are none of the three, or fail that.
ImageFormat check_image_integrity(ByteSpan, std::string_view where);

}  // namespace graft::io
