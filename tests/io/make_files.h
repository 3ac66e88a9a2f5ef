// Small valid files, made on the spot.
#pragma once
#include <utility>

#include "io/archive.h"
#include "io/images.h"

namespace graft::io::test {

Bytes make_png(const Image&);
Bytes make_jpeg(const Image&, int quality);
Bytes make_bmp(const Image&);
Image pattern(int64_t height, int64_t width, int64_t channels, int seed = 0);

Bytes gzip(ByteSpan);
enum class Packing { tar, tar_gz, tar_xz, zip };
Bytes pack(const std::vector<std::pair<std::string, Bytes>>& members, Packing);

}  // namespace graft::io::test
