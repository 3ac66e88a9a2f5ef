#include "io/weights/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "io/weights/weights.h"
#include "kernels/common/error.h"

namespace graft::io {
namespace {

constexpr uint64_t kMaxRatio = 1032;  // of deflate: 258 bytes from two bits
constexpr size_t kEndSize = 22, kCentralSize = 46, kLocalSize = 30, kEnd64Size = 56, kLocatorSize = 20;
constexpr uint32_t kEndMark = 0x06054b50, kCentralMark = 0x02014b50, kLocalMark = 0x04034b50, kEnd64Mark = 0x06064b50,
                   kLocatorMark = 0x07064b50;

template <class T>
T at(ByteSpan s, size_t offset) {
  T v;
  std::memcpy(&v, s.data() + offset, sizeof v);
  return v;
}

uint32_t crc_of(ByteSpan s, uint32_t crc = 0) {
  return uint32_t(::crc32_z(crc, reinterpret_cast<const Bytef*>(s.data()), s.size()));
}

// The end record is the last thing in the file, but for a comment whose length it states.
size_t find_end(ByteSpan s, const std::string& where) {
  for (size_t back = kEndSize; back <= s.size() && back <= kEndSize + 65535; ++back) {
    const size_t p = s.size() - back;
    if (at<uint32_t>(s, p) == kEndMark && at<uint16_t>(s, p + 20) == back - kEndSize) return p;
  }
  throw LoadError(fmt::format("{}: zip: expected a directory at the end, got none (is the file cut short?)", where));
}

// A 64-bit value that the 32-bit field of a central record leaves to its zip64 extra field.
struct Extra64 {
  ByteSpan rest;
  bool take(uint64_t& v) {
    if (v != std::numeric_limits<uint32_t>::max()) return true;
    if (rest.size() < 8) return false;
    v = at<uint64_t>(rest, 0);
    rest = rest.subspan(8);
    return true;
  }
};

Extra64 find_extra64(ByteSpan extra) {
  while (extra.size() >= 4) {
    const size_t size = at<uint16_t>(extra, 2);
    if (size > extra.size() - 4) break;
    if (at<uint16_t>(extra, 0) == 1) return {extra.subspan(4, size)};
    extra = extra.subspan(4 + size);
  }
  return {{}};
}

}  // namespace

ZipReader::ZipReader(ByteSpan s, std::string where) : where_(std::move(where)) {
  const size_t end = find_end(s, where_);
  uint64_t count = at<uint16_t>(s, end + 10), size = at<uint32_t>(s, end + 12), begin = at<uint32_t>(s, end + 16);
  if (end >= kLocatorSize && at<uint32_t>(s, end - kLocatorSize) == kLocatorMark) {
    const auto record = at<uint64_t>(s, end - kLocatorSize + 8);
    check<LoadError>(
        record <= end - kLocatorSize && end - kLocatorSize - record >= kEnd64Size && at<uint32_t>(s, record) == kEnd64Mark,
        "{}: zip: expected a zip64 directory record at {}", where_, record);
    count = at<uint64_t>(s, record + 32), size = at<uint64_t>(s, record + 40), begin = at<uint64_t>(s, record + 48);
  }
  check<LoadError>(begin <= end && size <= end - begin && count <= size / kCentralSize,
                   "{}: zip: expected a directory of {} entries within {} bytes, got {} bytes at {}", where_, count, end, size,
                   begin);
  ByteSpan directory = s.subspan(begin, size);
  for (uint64_t i = 0; i < count; ++i) {
    check<LoadError>(directory.size() >= kCentralSize && at<uint32_t>(directory, 0) == kCentralMark,
                     "{}: zip: directory: expected entry {} of {}", where_, i, count);
    const size_t name_size = at<uint16_t>(directory, 28), extra_size = at<uint16_t>(directory, 30);
    const size_t record_size = kCentralSize + name_size + extra_size + at<uint16_t>(directory, 32);
    check<LoadError>(record_size <= directory.size(), "{}: zip: directory: entry {} is cut short", where_, i);
    Entry e;
    e.name.assign(reinterpret_cast<const char*>(directory.data()) + kCentralSize, name_size);
    const uint16_t flags = at<uint16_t>(directory, 8), method = at<uint16_t>(directory, 10);
    check<LoadError>(!(flags & 1) && (method == 0 || method == 8), "{}: zip: {}: expected a stored or deflated entry, got {} {}",
                     where_, e.name, flags & 1 ? "an encrypted one, method" : "method", method);
    e.deflated = method == 8;
    e.crc = at<uint32_t>(directory, 16);
    uint64_t packed = at<uint32_t>(directory, 20), local = at<uint32_t>(directory, 42);
    e.size = at<uint32_t>(directory, 24);
    Extra64 extra = find_extra64(directory.subspan(kCentralSize + name_size, extra_size));
    check<LoadError>(extra.take(e.size) && extra.take(packed) && extra.take(local), "{}: zip: {}: zip64 sizes are missing", where_,
                     e.name);
    directory = directory.subspan(record_size);

    check<LoadError>(local <= begin && begin - local >= kLocalSize && at<uint32_t>(s, local) == kLocalMark,
                     "{}: zip: {}: expected its header at {}", where_, e.name, local);
    const uint64_t data = local + kLocalSize + at<uint16_t>(s, local + 26) + at<uint16_t>(s, local + 28);
    check<LoadError>(data <= begin && packed <= begin - data, "{}: zip: {}: expected {} bytes at {}, got {}", where_, e.name,
                     packed, data, data <= begin ? begin - data : 0);
    check<LoadError>(e.deflated || e.size == packed, "{}: zip: {}: expected {} stored bytes, got {}", where_, e.name, e.size,
                     packed);
    check<LoadError>(index_.emplace(e.name, entries_.size()).second, "{}: zip: expected each name once, got '{}' twice", where_,
                     e.name);
    e.packed = s.subspan(data, packed);
    entries_.push_back(std::move(e));
  }
  // Overlapping entries would unpack the same bytes many times.
  std::vector<const Entry*> order;
  order.reserve(entries_.size());
  for (const Entry& e : entries_) order.push_back(&e);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return std::pair(a->packed.data(), a->packed.size()) < std::pair(b->packed.data(), b->packed.size());
  });
  for (size_t i = 1; i < order.size(); ++i)
    check<LoadError>(order[i - 1]->packed.data() + order[i - 1]->packed.size() <= order[i]->packed.data(),
                     "{}: zip: entries {} and {} overlap", where_, order[i - 1]->name, order[i]->name);
}

const ZipReader::Entry* ZipReader::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

ByteSpan ZipReader::read(const Entry& e) {
  if (const auto it = verified_.find(e.name); it != verified_.end()) return it->second;
  ByteSpan data = e.packed;
  if (e.deflated) {
    check<LoadError>(e.size <= uint64_t(kMaxUnpackedBytes) - unpacked_bytes_,
                     "{}: {}: expected at most {} unpacked bytes in "
                     "one file, got {} more",
                     where_, e.name, kMaxUnpackedBytes, e.size);
    check<LoadError>(e.size / kMaxRatio <= e.packed.size(), "{}: {}: {} bytes cannot unpack to the {} that are claimed", where_,
                     e.name, e.packed.size(), e.size);
    Bytes out(e.size);
    z_stream z{};
    check<Error>(::inflateInit2(&z, -MAX_WBITS) == Z_OK, "{}: {}: zlib refuses", where_, e.name);
    const std::unique_ptr<z_stream, int (*)(z_stream*)> close(&z, &::inflateEnd);
    constexpr size_t kPiece = 1u << 30;  // zlib counts in 32 bits
    size_t in = 0, done = 0;
    int status = Z_OK;
    std::byte full;  // where an entry of no bytes, or one longer than it claims, would be written
    while (status == Z_OK) {
      const size_t give = std::min(kPiece, e.packed.size() - in), room = std::min(kPiece, out.size() - done);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(e.packed.data() + in));
      z.avail_in = uInt(give);
      z.next_out = reinterpret_cast<Bytef*>(room ? out.data() + done : &full);
      z.avail_out = uInt(room ? room : 1);
      status = ::inflate(&z, Z_NO_FLUSH);
      const size_t wrote = (room ? room : 1) - z.avail_out;
      in += give - z.avail_in;
      if (!room && wrote) status = Z_BUF_ERROR;
      else done += wrote;
    }
    check<LoadError>(status == Z_STREAM_END && done == out.size(), "{}: {}: expected {} unpacked bytes, got {}{}", where_, e.name,
                     e.size, done, status == Z_STREAM_END ? "" : " and damaged data");
    unpacked_bytes_ += e.size;
    data = unpacked_.emplace(e.name, std::move(out)).first->second;
  }
  check<LoadError>(crc_of(data) == e.crc, "{}: {}: expected checksum {:08x}, got {:08x} (the file is damaged)", where_, e.name,
                   e.crc, crc_of(data));
  return verified_[e.name] = data;
}

namespace {

template <class... T>
std::string packed(T... v) {
  std::string s;
  (s.append(reinterpret_cast<const char*>(&v), sizeof v), ...);
  return s;
}

}  // namespace

void ZipWriter::add(const std::string& name, std::initializer_list<ByteSpan> parts) {
  uint64_t size = 0;
  uint32_t crc = 0;
  for (ByteSpan p : parts) {
    size += p.size();
    crc = crc_of(p, crc);
  }
  check<ConfigError>(names_.insert(name).second, "{}: name '{}': expected each once", where_, name);
  check<ConfigError>(name.size() < 65536 && names_.size() < 65536 &&
                         position_ + size + directory_.size() + 3 * (kCentralSize + name.size()) < (uint64_t{1} << 32),
                     "{}: zip: expected at most 4 GiB and 65535 entries (use .safetensors)", where_);
  // version 2.0, UTF-8 names, stored, 1980-01-01
  const std::string common = packed(uint16_t{20}, uint16_t{1 << 11}, uint16_t{0}, uint16_t{0}, uint16_t{33}, crc, uint32_t(size),
                                    uint32_t(size), uint16_t(name.size()), uint16_t{0});
  directory_ += packed(kCentralMark, uint16_t{20}) + common +
                packed(uint16_t{0}, uint16_t{0}, uint16_t{0}, uint32_t{0}, uint32_t(position_)) + name;
  const std::string header = packed(kLocalMark) + common + name;
  file_.write(header);
  for (ByteSpan p : parts) file_.write(p);
  position_ += header.size() + size;
}

void ZipWriter::finish() {
  const auto n = uint16_t(names_.size());
  file_.write(directory_ +
              packed(kEndMark, uint16_t{0}, uint16_t{0}, n, n, uint32_t(directory_.size()), uint32_t(position_), uint16_t{0}));
}

}  // namespace graft::io
