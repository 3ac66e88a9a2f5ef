#include "io/image_integrity.h"

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernels/common/error.h"

namespace graft::io {
namespace {

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

uint32_t byte_at(ByteSpan b, size_t i) { return std::to_integer<uint32_t>(b[i]); }
uint32_t big_endian(ByteSpan b, size_t at, int bytes) {
  uint32_t v = 0;
  for (int i = 0; i < bytes; ++i) v = v << 8 | byte_at(b, at + size_t(i));
  return v;
}
uint32_t little_endian(ByteSpan b, size_t at, int bytes) {
  uint32_t v = 0;
  for (int i = bytes - 1; i >= 0; --i) v = v << 8 | byte_at(b, at + size_t(i));
  return v;
}

void check_png(ByteSpan b, std::string_view where) {
  for (size_t at = kPngSignature.size();;) {
    check<LoadError>(b.size() - at >= 12, "{}: PNG: truncated", where);
    const size_t length = big_endian(b, at, 4);
    check<LoadError>(length <= b.size() - at - 12, "{}: PNG: truncated", where);
    const auto* chunk = reinterpret_cast<const Bytef*>(b.data() + at + 4);
    check<LoadError>(crc32(0, chunk, uInt(length + 4)) == big_endian(b, at + 8 + length, 4), "{}: PNG: corrupt: a wrong check sum",
                     where);
    if (std::memcmp(chunk, "IEND", 4) == 0) return;
    at += 12 + length;
  }
}

// Huffman tables: class and slot, 16 counts, then that many symbols. Debian 12's stb_image writes past its own tables when
// the counts sum to more than 256.
void check_huffman_tables(ByteSpan segment, std::string_view where) {
  for (size_t at = 2; at < segment.size();) {
    check<LoadError>(segment.size() - at >= 17, "{}: JPEG: corrupt Huffman table", where);
    size_t symbols = 0;
    for (size_t i = 1; i <= 16; ++i) symbols += byte_at(segment, at + i);
    check<LoadError>(symbols <= 256 && symbols <= segment.size() - at - 17, "{}: JPEG: corrupt Huffman table", where);
    at += 17 + symbols;
  }
}

// Walks marker segments; inside a scan, FF 00 is data and FF D0..D7 are restart markers.
void check_jpeg(ByteSpan b, std::string_view where) {
  bool in_scan = false;
  for (size_t at = 2;;) {
    while (in_scan && at + 1 < b.size() && !(byte_at(b, at) == 0xff && byte_at(b, at + 1) != 0)) ++at;
    check<LoadError>(at + 1 < b.size(), "{}: JPEG: truncated", where);
    check<LoadError>(byte_at(b, at) == 0xff, "{}: JPEG: corrupt: expected a marker at byte {}", where, at);
    const uint32_t marker = byte_at(b, at + 1);
    if (marker == 0xff) {
      ++at;
      continue;
    }  // fill byte
    at += 2;
    if (marker == 0xd9) return;
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;  // no length
    check<LoadError>(b.size() - at >= 2, "{}: JPEG: truncated", where);
    const size_t length = big_endian(b, at, 2);
    check<LoadError>(length >= 2, "{}: JPEG: corrupt: segment of length {} at byte {}", where, length, at);
    check<LoadError>(length <= b.size() - at, "{}: JPEG: truncated", where);
    if (marker == 0xc4) check_huffman_tables(b.subspan(at, length), where);
    at += length;
    in_scan = marker == 0xda;
  }
}

void check_bmp(ByteSpan b, std::string_view where) {
  check<LoadError>(b.size() >= 26, "{}: BMP: truncated", where);
  const uint64_t pixels_at = little_endian(b, 10, 4), header = little_endian(b, 14, 4);
  const bool core = header == 12;  // the OS/2 form has 16-bit sizes
  check<LoadError>(core || (header >= 40 && b.size() >= 14 + 40), "{}: BMP: unknown or truncated header", where);
  const auto size = [&](size_t at) {
    return core ? uint64_t(little_endian(b, at, 2)) : uint64_t(std::llabs(int64_t(int32_t(little_endian(b, at, 4)))));
  };
  const uint64_t width = size(18), height = size(core ? 20 : 22), bits = little_endian(b, core ? 24 : 28, 2);
  check<LoadError>(width < 1u << 24 && height < 1u << 24 && bits <= 32, "{}: BMP: {}x{} pixels of {} bits", where, height, width,
                   bits);
  const uint64_t needed = pixels_at + (width * bits + 31) / 32 * 4 * height;
  check<LoadError>(b.size() >= needed, "{}: BMP: truncated: expected {} bytes, got {}", where, needed, b.size());
}

}  // namespace

ImageFormat check_image_integrity(ByteSpan b, std::string_view where) {
  const std::string_view text(reinterpret_cast<const char*>(b.data()), b.size());
  if (text.starts_with(kPngSignature)) return check_png(b, where), ImageFormat::png;
  if (text.starts_with("\xff\xd8\xff")) return check_jpeg(b, where), ImageFormat::jpeg;
  if (text.starts_with("BM")) return check_bmp(b, where), ImageFormat::bmp;
  throw LoadError(fmt::format("{}: expected a PNG, JPEG or BMP image", where));
}

}  // namespace graft::io
