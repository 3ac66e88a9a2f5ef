// Archives and compressed streams: tar, tar.gz, tar.xz and zip by libarchive, gzip by zlib. What comes out is bounded,
// so a small file cannot fill the memory.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "io/file.h"

namespace graft::io {

struct UnpackLimits {
  int64_t entry = int64_t{1} << 30;  // bytes of one member, or of one gzip stream
  int64_t total = int64_t{8} << 30;  // bytes of the whole unpacked archive, headers and padding included
  int64_t members = 8'000'000;
};

// Calls f(name, content) for every regular file, in archive order. `where` names the archive in errors.
// LoadError: not an archive of these formats, truncated, a wrong check sum, or over a limit.
using MemberFunction = std::function<void(const std::string& name, Bytes content)>;
void for_each_member(ByteSpan archive, std::string_view where, const MemberFunction& f, UnpackLimits = {});
void for_each_member(const std::filesystem::path& archive, const MemberFunction& f, UnpackLimits = {});

bool is_gzip(ByteSpan);
// Unpacks all gzip members of the stream and verifies their check sums; LoadError when truncated, corrupt or above `limit`.
Bytes gunzip(ByteSpan, std::string_view where, int64_t limit = UnpackLimits{}.entry);
// The file's content, unpacked if it is gzip.
Bytes read_plain_or_gzip(const std::filesystem::path&, int64_t limit = UnpackLimits{}.entry);

}  // namespace graft::io
