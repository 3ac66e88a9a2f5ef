#include "io/file.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "kernels/common/error.h"

namespace graft::io {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_for_reading(const std::filesystem::path& path) {
  check<LoadError>(!std::filesystem::is_directory(path), "{}: expected a file, got a folder", path.string());
  File file(std::fopen(path.c_str(), "rb"), &std::fclose);
  check<LoadError>(file != nullptr, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  return file;
}

class Sha256 {
 public:
  Sha256() { ok(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1); }
  void add(ByteSpan bytes) { ok(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    ok(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  static void ok(bool done) { check<InternalError>(done, "sha256: OpenSSL refuses"); }
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

// Reads by pieces: the size of a file is only a hint (pipes, files that grow).
template <class F>
void for_each_piece(const std::filesystem::path& path, F&& f) {
  const File file = open_for_reading(path);
  std::vector<std::byte> piece(1 << 20);
  while (const size_t n = std::fread(piece.data(), 1, piece.size(), file.get())) f(ByteSpan(piece.data(), n));
  check<LoadError>(!std::ferror(file.get()), "{}: cannot be read: {}", path.string(), std::strerror(errno));
}

}  // namespace

Bytes read_file(const std::filesystem::path& path) {
  Bytes bytes;
  std::error_code ignored;
  if (const auto size = std::filesystem::file_size(path, ignored); !ignored) bytes.reserve(size);
  for_each_piece(path, [&](ByteSpan piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
  return bytes;
}

std::string sha256(ByteSpan bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path) {
  Sha256 hash;
  for_each_piece(path, [&](ByteSpan piece) { hash.add(piece); });
  return hash.hex();
}

}  // namespace graft::io
