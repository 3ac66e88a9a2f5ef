#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "kernels/common/error.h"

namespace graft::io {
namespace fs = std::filesystem;
namespace {

std::string reason(int error) { return std::strerror(error); }

fs::path beside(const fs::path& path) {
  static std::atomic<unsigned> serial{0};
  fs::path temporary = path;
  temporary += fmt::format(".tmp.{}.{}", ::getpid(), serial++);
  return temporary;
}

}  // namespace

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  std::error_code ignored;
  if (fs::is_symlink(path_, ignored))
    if (fs::path target = fs::canonical(path_, ignored); !ignored) path_ = std::move(target);
  struct stat status;
  const bool exists = ::stat(path_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(EISDIR);
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    // A crashed process may have left a file of the same name: take the next.
    for (int attempt = 0; descriptor_ < 0 && attempt < 100; ++attempt) {
      temporary_ = beside(path_);
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor_ < 0 && errno != EEXIST) break;
    }
    if (descriptor_ < 0) temporary_.clear();
    else if (exists) (void)!::fchmod(descriptor_, status.st_mode & 07777);
  }
  if (descriptor_ < 0) fail(errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(int error) {
  std::string text = fmt::format("{}: cannot write: {}", path_.string(), reason(error));
  std::error_code ignored;
  if (!temporary_.empty() && fs::exists(path_, ignored)) text += " (the old file is unchanged)";
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  if (!temporary_.empty()) ::unlink(std::exchange(temporary_, {}).c_str());
  throw Error(text);
}

void AtomicFile::write(ByteSpan bytes) {
  while (!bytes.empty()) {
    // Linux moves at most 2 GiB less a page in one call.
    const ssize_t n = ::write(descriptor_, bytes.data(), std::min<size_t>(bytes.size(), size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno);
    bytes = bytes.subspan(size_t(n));
  }
}

void AtomicFile::commit() {
  // Pipes and terminals cannot be synced; only a file must be.
  if (::fsync(descriptor_) != 0 && !temporary_.empty()) fail(errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
  temporary_.clear();
  const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  if (const int d = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); d >= 0) {
    ::fsync(d);  // without it a power cut may lose the rename, which is still one of the two whole files
    ::close(d);
  }
}

void write_file(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace graft::io
