#include "tests/io/make_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#include "kernels/common/error.h"

namespace graft::io::test {
namespace {

void append(void* to, void* data, int size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  static_cast<Bytes*>(to)->insert(static_cast<Bytes*>(to)->end(), bytes, bytes + size);
}

}  // namespace

Bytes make_png(const Image& i) {
  Bytes out;
  stbi_write_png_to_func(append, &out, int(i.width), int(i.height), int(i.channels), i.pixels.data(), int(i.width * i.channels));
  return out;
}

Bytes make_jpeg(const Image& i, int quality) {
  Bytes out;
  stbi_write_jpg_to_func(append, &out, int(i.width), int(i.height), int(i.channels), i.pixels.data(), quality);
  return out;
}

Bytes make_bmp(const Image& i) {
  Bytes out;
  stbi_write_bmp_to_func(append, &out, int(i.width), int(i.height), int(i.channels), i.pixels.data());
  return out;
}

Image pattern(int64_t height, int64_t width, int64_t channels, int seed) {
  Image image{height, width, channels, {}};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < channels; ++c) image.pixels.push_back(uint8_t(7 * y + 3 * x + 50 * c + 11 * seed));
  return image;
}

Bytes gzip(ByteSpan in) {
  z_stream s{};
  deflateInit2(&s, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  Bytes out(deflateBound(&s, in.size()) + 64);
  s.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
  s.avail_in = uInt(in.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = uInt(out.size());
  check<InternalError>(deflate(&s, Z_FINISH) == Z_STREAM_END, "deflate");
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}

Bytes pack(const std::vector<std::pair<std::string, Bytes>>& members, Packing packing) {
  size_t room = 1 << 16;
  for (const auto& [name, content] : members) room += content.size() + 4096;
  Bytes out(room);
  size_t used = 0;
  archive* a = archive_write_new();
  if (packing == Packing::zip) archive_write_set_format_zip(a);
  else archive_write_set_format_ustar(a);
  if (packing == Packing::tar_xz) archive_write_add_filter_xz(a);
  archive_write_set_bytes_in_last_block(a, 1);
  archive_write_open_memory(a, out.data(), out.size(), &used);
  for (const auto& [name, content] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, la_int64_t(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(a, entry);
    archive_write_data(a, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
  out.resize(used);
  return packing == Packing::tar_gz ? gzip(out) : out;
}

}  // namespace graft::io::test
