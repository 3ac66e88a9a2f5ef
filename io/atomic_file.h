// A file replaced at once or not at all.
#pragma once
#include <filesystem>
#include <string_view>

#include "io/file.h"

namespace graft::io {

inline ByteSpan bytes_of(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }

// Writes beside `path` and replaces it on commit(); until then, and if anything fails, the old file stays as it was.
// A full disk, a folder that cannot be written or a path that is a folder throw Error "path: cannot write: reason".
// Devices and pipes are written directly, since a rename would replace the device. A process that wants EFBIG as an
// error, not as a signal, ignores SIGXFSZ.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();  // without commit(): removes what was written
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(ByteSpan);
  void write(std::string_view s) { write(bytes_of(s)); }
  void commit();  // fsync, rename, fsync of the folder

 private:
  [[noreturn]] void fail(int error);
  std::filesystem::path path_, temporary_;  // temporary_ is empty where path_ is written directly
  int descriptor_ = -1;
};

void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace graft::io
