#include "io/datasets/fetch.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>

#include "io/file.h"
#include "kernels/common/error.h"

namespace graft::io {
namespace {

namespace fs = std::filesystem;

// The most that is written for a file of unknown size.
constexpr int64_t kMostBytes = int64_t{16} << 30;

struct Download {
  const CatalogFile& file;
  const FetchOptions& options;
  std::FILE* out = nullptr;
  int64_t written = 0;
  std::exception_ptr error;  // thrown by `progress`, carried through curl
  std::string fault;
  bool too_long = false;

  static size_t write(char* data, size_t size, size_t count, void* self) {
    auto& d = *static_cast<Download*>(self);
    const int64_t most = d.file.bytes > 0 && !d.file.unpacked ? d.file.bytes : kMostBytes;
    if (d.written + int64_t(size * count) > most) {
      d.too_long = true;
      d.fault = fmt::format("longer than the {} bytes of the catalog", most);
      return 0;
    }
    if (std::fwrite(data, size, count, d.out) != count) {
      d.fault = fmt::format("cannot be written: {}", std::strerror(errno));
      return 0;
    }
    d.written += int64_t(size * count);
    return size * count;
  }

  static int report(void* self, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
    auto& d = *static_cast<Download*>(self);
    if (!d.options.progress) return 0;
    try {
      d.options.progress(d.file, d.written, total > 0 ? int64_t(total) : d.file.bytes);
      return 0;
    } catch (...) {
      d.error = std::current_exception();
      return 1;
    }
  }
};

// Appends to `part` what it still lacks. What arrived stays there when the network fails.
void download(const CatalogFile& file, const fs::path& part, const FetchOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), &curl_easy_cleanup);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(part.c_str(), "ab"), &std::fclose);
  check<LoadError>(out != nullptr, "{}: cannot be written: {}", part.string(), std::strerror(errno));
  check<InternalError>(curl != nullptr, "fetch: libcurl refuses");
  std::error_code ignored;
  Download d{file, options, out.get(), int64_t(fs::file_size(part, ignored)), {}, {}, false};
  char text[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, file.url.c_str());
  set(CURLOPT_ERRORBUFFER, text);
  set(CURLOPT_WRITEFUNCTION, &Download::write);
  set(CURLOPT_WRITEDATA, &d);
  set(CURLOPT_XFERINFOFUNCTION, &Download::report);
  set(CURLOPT_XFERINFODATA, &d);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 8L);
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // a stalled connection is given up after a minute
  set(CURLOPT_LOW_SPEED_TIME, 60L);
  set(CURLOPT_PROTOCOLS_STR, "http,https,file");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_RESUME_FROM_LARGE, curl_off_t(d.written));
  const CURLcode status = curl_easy_perform(curl.get());
  if (d.error) std::rethrow_exception(d.error);
  if (d.too_long) fs::remove(part, ignored);
  check<LoadError>(d.fault.empty(), "{}: {}", file.url, d.fault);
  check<LoadError>(status == CURLE_OK, "{}: cannot be fetched: {}", file.url, *text ? text : curl_easy_strerror(status));
  const bool stored = std::fflush(out.get()) == 0 && fsync(fileno(out.get())) == 0;
  check<LoadError>(stored, "{}: cannot be written: {}", part.string(), std::strerror(errno));
}

// A partial file is continued only where the hash would show a wrong seam and something is missing.
void drop_unusable_part(const CatalogFile& file, const fs::path& part) {
  std::error_code ignored;
  const bool whole = file.bytes > 0 && !file.unpacked && int64_t(fs::file_size(part, ignored)) >= file.bytes;
  if (file.sha256.empty() || whole) fs::remove(part, ignored);
}

FetchResult::File fetch_file(const CatalogFile& file, const FetchOptions& options) {
  const fs::path path = options.folder / file.path;
  fs::path part = path;
  part += ".part";
  const bool verified = !file.sha256.empty();
  if (fs::is_regular_file(path)) {
    try {
      return {path, file.verify(read_file(path), path.string()), verified, false};
    } catch (const LoadError&) {  // not the right one: replaced below
    }
  }
  check<LoadError>(!file.url.empty(), "{}: no public address to fetch it from", file.path);
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  check<LoadError>(!error, "{}: cannot be made: {}", path.parent_path().string(), error.message());
  drop_unusable_part(file, part);
  download(file, part, options);  // what arrived before a broken connection stays, to be continued
  std::string hash;
  try {
    hash = file.verify(read_file(part), file.url);
  } catch (...) {
    fs::remove(part, error);
    throw;
  }
  fs::rename(part, path, error);
  check<LoadError>(!error, "{}: cannot be renamed: {}", part.string(), error.message());
  return {path, hash, verified, true};
}

}  // namespace

FetchResult fetch(const CatalogEntry& entry, const FetchOptions& options) {
  for (const CatalogFile& file : entry.files)
    check<LoadError>(!file.url.empty() || fs::is_regular_file(options.folder / file.path),
                     "data set '{}' has no public address to fetch from: {} (source: {})", entry.name, entry.how_to_get,
                     entry.source);
  FetchResult result;
  for (const CatalogFile& file : entry.files) result.files.push_back(fetch_file(file, options));
  return result;
}

}  // namespace graft::io
