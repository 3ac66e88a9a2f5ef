// The ZIP container of .npz and PyTorch files: stored or deflated entries, zip64, checksums verified.
// PKWARE APPNOTE 6.3.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/atomic_file.h"

namespace graft::io {

class ZipReader {
 public:
  struct Entry {
    std::string name;
    bool deflated;
    uint32_t crc;
    uint64_t size;  // unpacked, as the directory claims; read() verifies it
    ByteSpan packed;
  };

  // `content` must outlive the reader. The directory must lie in the content, names must be unique and entries must
  // not overlap: LoadError otherwise. Nothing is unpacked yet.
  ZipReader(ByteSpan content, std::string where);

  const std::vector<Entry>& entries() const { return entries_; }
  const Entry* find(const std::string& name) const;
  // A view of the content, or of an unpacked copy that lives as long as the reader. All copies together are at most
  // kMaxUnpackedBytes (weights.h); a claim beyond that, or beyond what deflate can reach, allocates nothing.
  ByteSpan read(const Entry&);

 private:
  std::string where_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;
  std::map<std::string, Bytes> unpacked_;
  std::map<std::string, ByteSpan> verified_;
  uint64_t unpacked_bytes_ = 0;
};

// Stored entries, no dates, so that equal input gives equal files. At most 4 GiB and 65,535 entries (ConfigError).
class ZipWriter {
 public:
  ZipWriter(AtomicFile& file, std::string where) : file_(file), where_(std::move(where)) {}
  void add(const std::string& name, std::initializer_list<ByteSpan> parts);
  void finish();

 private:
  AtomicFile& file_;
  std::string where_, directory_;
  std::set<std::string> names_;
  uint64_t position_ = 0;
};

}  // namespace graft::io
