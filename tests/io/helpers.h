#pragma once
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/file.h"
#include "kernels/common/error.h"

namespace graft::io::test {

inline Bytes to_bytes(std::string_view text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// The message of the E that f throws; a failed check when it throws none, or another.
template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    FAIL_CHECK("another exception: " << e.what());
    return "";
  }
  FAIL_CHECK("nothing was thrown");
  return "";
}

inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// parse(prefix) must throw LoadError for every proper prefix shorter than `whole` bytes, and accept all of them.
template <class F>
void check_every_prefix(const Bytes& bytes, F&& parse, size_t whole = SIZE_MAX) {
  CHECK_NOTHROW(parse(ByteSpan(bytes)));
  for (size_t n = 0; n < std::min(bytes.size(), whole); ++n) {
    const Bytes prefix(bytes.begin(), bytes.begin() + std::ptrdiff_t(n));  // own block: reading past it shows under ASan
    bool refused = false;
    try {
      parse(ByteSpan(prefix));
    } catch (const LoadError&) {
      refused = true;
    }
    if (!refused) FAIL_CHECK("accepted the first " << n << " of " << bytes.size() << " bytes");
  }
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "graft-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, ByteSpan bytes) const {
    const auto path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace graft::io::test
