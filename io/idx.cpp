#include "io/idx.h"

#include "io/archive.h"

namespace graft::io {
namespace {
constexpr std::byte kUnsignedByte{0x08};
}

Tensor parse_idx(ByteSpan bytes, std::string_view where) {
  check<LoadError>(bytes.size() >= 4 && bytes[0] == std::byte{0} && bytes[1] == std::byte{0},
                   "{}: expected IDX (first bytes 00 00), got something else", where);
  check<LoadError>(bytes[2] == kUnsignedByte, "{}: IDX: expected element type 08 (unsigned byte), got {:02x}", where,
                   int(bytes[2]));
  const int rank = int(bytes[3]);
  check<LoadError>(rank >= 1 && rank <= 4, "{}: IDX: expected rank 1 to 4, got {}", where, rank);
  const size_t header = 4 + 4 * size_t(rank);
  check<LoadError>(bytes.size() >= header, "{}: IDX: truncated in its header", where);
  int64_t dims[4], claimed = 1;
  for (int i = 0; i < rank; ++i) {
    dims[i] = 0;
    for (int b = 0; b < 4; ++b) dims[i] = dims[i] << 8 | int64_t(bytes[4 + 4 * size_t(i) + size_t(b)]);
    // Each factor is checked against the file, so the product cannot overflow.
    check<LoadError>(dims[i] > 0, "{}: IDX: size {} of dimension {}", where, dims[i], i);
    check<LoadError>(dims[i] <= int64_t(bytes.size()) / claimed, "{}: IDX: the header claims more than the {} bytes of the file",
                     where, bytes.size());
    claimed *= dims[i];
  }
  check<LoadError>(int64_t(bytes.size() - header) == claimed, "{}: IDX: expected {} bytes after the header, got {}", where, claimed,
                   bytes.size() - header);
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data() + header);
  return Tensor::from(std::span(data, size_t(claimed)), Shape(std::span<const int64_t>(dims, size_t(rank))));
}

Tensor read_idx(const std::filesystem::path& path) { return parse_idx(read_plain_or_gzip(path), path.string()); }

Bytes write_idx(const Tensor& t) {
  check<ShapeError>(t.rank() >= 1 && t.rank() <= 4, "write_idx: expected rank 1 to 4, got {}", t.shape());
  Bytes bytes{std::byte{0}, std::byte{0}, kUnsignedByte, std::byte(t.rank())};
  for (int64_t n : t.shape())
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(std::byte(n >> shift & 0xff));
  const auto data = std::as_bytes(t.span<uint8_t>());
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

}  // namespace graft::io
