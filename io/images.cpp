#include "io/images.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "io/image_integrity.h"
#include "kernels/common/error.h"

namespace {

// stb_image's memory, bounded per call: a small PNG may otherwise inflate to gigabytes behind a harmless header.
thread_local size_t largest_block = 0;
void* bounded_malloc(size_t n) { return n <= largest_block ? std::malloc(n) : nullptr; }
void* bounded_realloc(void* p, size_t n) { return n <= largest_block ? std::realloc(p, n) : nullptr; }

}  // namespace

#define STBI_MALLOC(n) bounded_malloc(n)
#define STBI_REALLOC(p, n) bounded_realloc(p, n)
#define STBI_FREE(p) std::free(p)
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace graft::io {
namespace {

constexpr int64_t kSlack = 1 << 20;  // tables and row buffers of the decoder
// The most that the three formats can expand: a one-bit palette PNG, 24 bytes a byte, times deflate's 1032.
constexpr int64_t kMostExpansion = 24 * 1032;

const stbi_uc* bytes_of(ByteSpan b) { return reinterpret_cast<const stbi_uc*>(b.data()); }

const char* reason() {
  const char* text = stbi_failure_reason();
  return text ? text : "unknown";
}

}  // namespace

Image image_header(ByteSpan bytes, std::string_view where) {
  check<LoadError>(bytes.size() <= size_t{1} << 30, "{}: {} bytes are more than an image may have", where, bytes.size());
  check_image_integrity(bytes, where);  // stb_image builds Huffman tables for a header already
  largest_block = size_t(kSlack);
  int width = 0, height = 0, channels = 0;
  check<LoadError>(stbi_info_from_memory(bytes_of(bytes), int(bytes.size()), &width, &height, &channels) != 0,
                   "{}: expected a PNG, JPEG or BMP image: {}", where, reason());
  check<LoadError>(width > 0 && height > 0 && height <= kMaxImagePixels / width, "{}: {}x{} pixels: expected at most {}", where,
                   height, width, kMaxImagePixels);
  check<LoadError>(int64_t{3} * width * height <= kMostExpansion * int64_t(bytes.size()),
                   "{}: the header claims {}x{} pixels, more than {} bytes can hold", where, height, width, bytes.size());
  return {height, width, channels <= 2 ? 1 : 3, {}};
}

Image decode_image(ByteSpan bytes, std::string_view where, int64_t channels) {
  check<ConfigError>(channels == 0 || channels == 1 || channels == 3, "decode_image: channels: expected 0, 1 or 3, got {}",
                     channels);
  Image image = image_header(bytes, where);
  if (channels != 0) image.channels = channels;
  // 16-bit RGBA is 8 bytes a pixel, and stb grows its buffers by doubling.
  largest_block = size_t(16 * image.height * image.width + int64_t(bytes.size()) + kSlack);
  int width = 0, height = 0, stored = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes_of(bytes), int(bytes.size()), &width, &height, &stored, int(image.channels)), &stbi_image_free);
  check<LoadError>(pixels != nullptr, "{}: cannot be decoded: {}", where, reason());
  check<LoadError>(width == image.width && height == image.height, "{}: header and content differ in size", where);
  image.pixels.assign(pixels.get(), pixels.get() + image.height * image.width * image.channels);
  return image;
}

Image read_image(const std::filesystem::path& path, int64_t channels) {
  return decode_image(read_file(path), path.string(), channels);
}

bool has_image_extension(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string extension(name.substr(dot + 1));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return extension == "png" || extension == "jpg" || extension == "jpeg" || extension == "bmp";
}

}  // namespace graft::io
