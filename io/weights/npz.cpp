#include "io/weights/npz.h"

#include <fmt/ranges.h>

#include <charconv>
#include <cstring>
#include <optional>

#include "io/weights/strided.h"

namespace graft::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::string_view kTypes[kDTypes] = {"<f4", "<f8", "<f2", "", "<i4", "<i8", "|u1"};  // no bf16

std::optional<DType> dtype_of_descr(std::string_view d) {
  for (int i = 0; i < kDTypes; ++i)
    if (!d.empty() && d == kTypes[i]) return DType(i);
  if (d == "|b1") return DType::u8;
  return {};
}

// The header is a Python literal of a fixed form: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderReader {
 public:
  HeaderReader(std::string_view text, std::string_view where) : s_(text), where_(where) {
    expect("{");
    while (!take("}")) {
      const std::string_view key = quoted();
      expect(":");
      if (key == "descr") {
        if (!s_.starts_with('\'') && !s_.starts_with('"')) fail("a structured dtype");
        descr = quoted();
      } else if (key == "fortran_order") {
        fortran = take("True");
        if (!*fortran) expect("False");
      } else if (key == "shape") {
        shape.emplace();
        expect("(");
        while (!take(")")) {
          shape->push_back(number());
          if (!take(",")) {
            expect(")");
            break;
          }
        }
      } else {
        fail(fmt::format("key '{}'", key));
      }
      if (!take(",")) {
        expect("}");
        break;
      }
    }
    if (!s_.empty() || !descr || !fortran || !shape) fail(s_.empty() ? "fewer keys" : "text after it");
  }
  std::optional<std::string_view> descr;
  std::optional<bool> fortran;
  std::optional<std::vector<int64_t>> shape;

 private:
  void skip() { s_.remove_prefix(std::min(s_.find_first_not_of(" \n"), s_.size())); }
  bool take(std::string_view token) {
    skip();
    if (!s_.starts_with(token)) return false;
    s_.remove_prefix(token.size());
    skip();
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) fail(fmt::format("'{}' where '{}' should stand", s_.substr(0, 8), token));
  }
  std::string_view quoted() {
    const std::string_view quote = s_.starts_with('"') ? "\"" : "'";
    expect(quote);
    const size_t n = s_.find(quote);
    if (n == s_.npos) fail("an open quote");
    const std::string_view text = s_.substr(0, n);
    s_.remove_prefix(n);
    expect(quote);
    return text;
  }
  int64_t number() {
    int64_t v = 0;
    const auto [end, error] = std::from_chars(s_.data(), s_.data() + s_.size(), v);
    if (error != std::errc{} || v < 0) fail(fmt::format("size '{}'", s_.substr(0, 20)));
    s_.remove_prefix(size_t(end - s_.data()));
    return v;
  }
  [[noreturn]] void fail(const std::string& got) const {
    throw LoadError(fmt::format("{}: npy header: expected descr, fortran_order and shape, got {}", where_, got));
  }
  std::string_view s_, where_;
};

}  // namespace

Tensor parse_npy(ByteSpan content, std::string_view where) {
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  check<LoadError>(text.starts_with(kMagic) && text.size() >= 10, "{}: npy: expected its magic bytes and a header length", where);
  const int version = uint8_t(text[6]);
  check<LoadError>(version >= 1 && version <= 3, "{}: npy: version: expected 1 to 3, got {}", where, version);
  const size_t begin = version == 1 ? 10 : 12;
  check<LoadError>(text.size() >= begin, "{}: npy: expected a header length", where);
  uint32_t length = 0;
  std::memcpy(&length, text.data() + 8, version == 1 ? 2 : 4);
  check<LoadError>(length <= text.size() - begin, "{}: npy: header: expected {} bytes, got {} (is the file cut short?)", where,
                   length, text.size() - begin);
  const HeaderReader header(text.substr(begin, length), where);
  const auto dtype = dtype_of_descr(*header.descr);
  check<LoadError>(dtype.has_value(), "{}: npy: dtype: expected <f2 <f4 <f8 <i4 <i8 or |u1, got {}{}", where, *header.descr,
                   header.descr->find('O') != header.descr->npos ? " (Python objects are not read)" : "");
  check<LoadError>(header.shape->size() <= Shape::kMaxRank, "{}: npy: shape: expected at most {} dimensions, got {}", where,
                   Shape::kMaxRank, header.shape->size());
  int64_t bytes = int64_t(dtype_size(*dtype));
  for (int64_t d : *header.shape)
    check<LoadError>(!__builtin_mul_overflow(bytes, d, &bytes), "{}: npy: shape [{}]: expected at most 2^63 bytes", where,
                     fmt::join(*header.shape, ", "));
  const ByteSpan data = content.subspan(begin + length);
  check<LoadError>(data.size() == size_t(bytes), "{}: npy: data: expected {} bytes for {} [{}], got {}", where, bytes, name(*dtype),
                   fmt::join(*header.shape, ", "), data.size());
  Tensor t = Tensor::empty(Shape(*header.shape), *dtype);
  std::vector<int64_t> strides(header.shape->size());
  int64_t stride = 1;
  for (size_t i = 0; i < strides.size(); ++i) {
    const size_t d = *header.fortran ? i : strides.size() - 1 - i;
    strides[d] = stride;
    stride *= (*header.shape)[d];
  }
  copy_strided(t, data.data(), strides);
  return t;
}

WeightFile parse_npz(ZipReader& zip, std::string_view where) {
  WeightFile file{WeightFormat::npz, {}, {}};
  for (const auto& e : zip.entries()) {
    check<LoadError>(e.name.ends_with(".npy"), "{}: npz: expected entries named *.npy, got '{}'", where, e.name);
    const std::string array = e.name.substr(0, e.name.size() - 4);
    file.tensors.emplace_back(array, parse_npy(zip.read(e), fmt::format("{}: {}", where, array)));
  }
  return file;
}

void save_npz(const std::filesystem::path& path, const NamedTensors& tensors) {
  AtomicFile file(path);
  ZipWriter zip(file, path.string());
  for (const auto& [array, given] : tensors) {
    const Tensor t = (given.dtype() == DType::bf16 ? given.to(DType::f32) : given).to(Device{});
    const Shape& s = t.shape();
    std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", kTypes[int(t.dtype())],
                                     fmt::join(s.begin(), s.end(), ", "), s.rank() == 1 ? "," : "");
    // numpy pads so that the data begins at a multiple of 64.
    header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 11, ' ');
    header += '\n';
    const auto length = uint16_t(header.size());
    std::string start(kMagic);
    start += std::string_view("\1\0", 2);
    start.append(reinterpret_cast<const char*>(&length), 2);
    zip.add(array + ".npy", {bytes_of(start), bytes_of(header), ByteSpan(t.raw_bytes(), t.bytes())});
  }
  zip.finish();
  file.commit();
}

}  // namespace graft::io
