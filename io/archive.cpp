#include "io/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "kernels/common/error.h"

namespace graft::io {
namespace {

// Incremental gunzip of bytes in memory. libarchive's own gzip filter ignores the check sum, hence this one.
class GzipStream {
 public:
  GzipStream(ByteSpan in, std::string_view where, int64_t limit) : in_(in), where_(where), limit_(limit) {
    check<InternalError>(inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK, "{}: zlib refuses", where_);
  }
  ~GzipStream() { inflateEnd(&stream_); }
  GzipStream(const GzipStream&) = delete;

  // Fills `out` as far as the stream goes; 0 at its end.
  size_t read(std::span<std::byte> out) {
    size_t filled = 0;
    while (filled < out.size() && !done_) {
      feed();
      const size_t room = std::min<size_t>(out.size() - filled, 1u << 30);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
      stream_.avail_out = uInt(room);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      filled += room - stream_.avail_out;
      total_ += int64_t(room - stream_.avail_out);
      check<LoadError>(total_ <= limit_, "{}: unpacks to more than {} bytes", where_, limit_);
      if (status == Z_STREAM_END) next_member();
      else if (status == Z_BUF_ERROR && stream_.avail_in == 0 && position_ == in_.size())
        throw LoadError(fmt::format("{}: truncated gzip stream", where_));
      else
        check<LoadError>(status == Z_OK || status == Z_BUF_ERROR, "{}: corrupt gzip stream: {}", where_,
                         stream_.msg ? stream_.msg : "invalid data");
    }
    return filled;
  }

 private:
  void feed() {
    if (stream_.avail_in > 0) return;
    const size_t n = std::min<size_t>(in_.size() - position_, 1u << 30);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in_.data() + position_));
    stream_.avail_in = uInt(n);
    position_ += n;
  }
  void next_member() {  // gzip files may be concatenated; anything else behind the end is refused
    if (stream_.avail_in == 0 && position_ == in_.size()) done_ = true;
    else inflateReset(&stream_);
  }

  ByteSpan in_;
  std::string where_;
  int64_t limit_, total_ = 0;
  size_t position_ = 0;
  bool done_ = false;
  z_stream stream_{};
};

// What libarchive's callbacks need: the stream, the last piece, and an error to carry through C code.
struct GzipSource {
  GzipSource(ByteSpan in, std::string_view where, int64_t limit) : stream(in, where, limit) {}
  GzipStream stream;
  std::vector<std::byte> piece = std::vector<std::byte>(1 << 16);
  std::exception_ptr error;

  static la_ssize_t read(archive* a, void* self, const void** data) {
    auto& source = *static_cast<GzipSource*>(self);
    try {
      *data = source.piece.data();
      return la_ssize_t(source.stream.read(source.piece));
    } catch (...) {
      source.error = std::current_exception();
      archive_set_error(a, EILSEQ, "gzip");
      return -1;
    }
  }
};

bool ends_with_zero_block(ByteSpan bytes) {
  constexpr size_t kBlock = 512;
  return bytes.size() >= kBlock && std::all_of(bytes.end() - kBlock, bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string reason(archive* a) {
  const char* text = archive_error_string(a);
  return text ? text : "unknown format";
}

}  // namespace

void for_each_member(ByteSpan bytes, std::string_view where, const MemberFunction& f, UnpackLimits limits) {
  const std::unique_ptr<archive, int (*)(archive*)> a(archive_read_new(), &archive_read_free);
  check<InternalError>(a != nullptr, "{}: libarchive refuses", where);
  archive_read_support_format_tar(a.get());
  archive_read_support_format_zip(a.get());
  archive_read_support_filter_xz(a.get());
  std::optional<GzipSource> gzip;
  const auto ok = [&](int status) {
    if (status == ARCHIVE_OK) return;
    if (gzip && gzip->error) std::rethrow_exception(gzip->error);
    // Warnings are about names in odd character sets; the content is whole.
    check<LoadError>(status == ARCHIVE_WARN, "{}: cannot be unpacked: {}", where, reason(a.get()));
  };
  if (is_gzip(bytes)) {
    gzip.emplace(bytes, where, limits.total);
    ok(archive_read_open(a.get(), &*gzip, nullptr, &GzipSource::read, nullptr));
  } else {
    ok(archive_read_open_memory(a.get(), bytes.data(), bytes.size()));
  }

  int64_t total = 0, members = 0;
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(a.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    ok(status);
    const char* stored = archive_entry_pathname(entry);
    const std::string name = stored ? stored : "";
    check<LoadError>(++members <= limits.members, "{}: more than {} members", where, limits.members);
    Bytes content;
    for (;;) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int read = archive_read_data_block(a.get(), &data, &size, &offset);
      if (read == ARCHIVE_EOF) break;
      ok(read);
      // Sparse members: the offset may jump ahead of what was read.
      const bool fits = offset >= int64_t(content.size()) && offset <= limits.entry && int64_t(size) <= limits.entry - offset;
      check<LoadError>(fits, "{}: member {}: unpacks to more than {} bytes", where, name, limits.entry);
      check<LoadError>(total + offset + int64_t(size) <= limits.total, "{}: unpacks to more than {} bytes", where, limits.total);
      content.resize(size_t(offset));
      content.insert(content.end(), static_cast<const std::byte*>(data), static_cast<const std::byte*>(data) + size);
    }
    total += int64_t(content.size());
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) continue;
    const int64_t claimed = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : int64_t(content.size());
    check<LoadError>(claimed == int64_t(content.size()), "{}: member {}: truncated: expected {} bytes, got {}", where, name,
                     claimed, content.size());
    f(name, std::move(content));
  }
  check<LoadError>(members > 0, "{}: expected an archive (tar, tar.gz, tar.xz, zip), got none or an empty one", where);
  // A plain tar has no check sum of its own: one cut between two members shows by its missing end block of zeros.
  const bool plain_tar = !gzip && archive_filter_code(a.get(), 0) == ARCHIVE_FILTER_NONE &&
                         (archive_format(a.get()) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
  check<LoadError>(!plain_tar || ends_with_zero_block(bytes), "{}: truncated: a tar ends with a block of zeros", where);
  // Unread rest of a gzip stream: its check sum comes last.
  if (gzip)
    while (gzip->stream.read(gzip->piece) > 0) {
    }
}

void for_each_member(const std::filesystem::path& path, const MemberFunction& f, UnpackLimits limits) {
  for_each_member(read_file(path), path.string(), f, limits);
}

bool is_gzip(ByteSpan bytes) { return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b}; }

Bytes gunzip(ByteSpan bytes, std::string_view where, int64_t limit) {
  check<LoadError>(is_gzip(bytes), "{}: expected a gzip stream", where);
  GzipStream stream(bytes, where, limit);
  Bytes out, piece(1 << 16);
  while (const size_t n = stream.read(piece)) out.insert(out.end(), piece.begin(), piece.begin() + std::ptrdiff_t(n));
  return out;
}

Bytes read_plain_or_gzip(const std::filesystem::path& path, int64_t limit) {
  Bytes bytes = read_file(path);
  return is_gzip(bytes) ? gunzip(bytes, path.string(), limit) : bytes;
}

}  // namespace graft::io
