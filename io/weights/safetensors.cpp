#include "io/weights/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>

#include <fmt/ranges.h>

#include "io/json.h"

namespace graft::io {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes; the limit of the reference implementation
constexpr std::string_view kTypes[kDTypes] = {"F32", "F64", "F16", "BF16", "I32", "I64", "U8"};

struct Entry {
  std::string name;
  std::optional<DType> dtype;
  std::optional<std::vector<int64_t>> shape, offsets;
};

// Events of the JSON header. A tree would let the last of two equal keys win silently and cost many times the header.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string_view where) : where_(where) {}
  std::vector<Entry> entries;
  Metadata metadata;

  bool start_object(size_t) override {
    if (depth_ == 1 && name_ == "__metadata__") in_metadata_ = true;
    else if (depth_ == 1) entries.push_back({name_, {}, {}, {}});
    else if (depth_ != 0) fail("an object");
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) {
      const Entry& e = entries.back();
      if (!e.dtype || !e.shape || !e.offsets) fail("no dtype, shape or data_offsets");
    }
    if (depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool key(std::string& k) override {
    if (depth_ == 1) {
      check<LoadError>(names_.insert(k).second, "{}: header: expected each name once, got '{}' twice", where_, k);
      name_ = k;
    } else {
      if (in_metadata_ ? metadata.contains(k) : k != "dtype" && k != "shape" && k != "data_offsets") fail("key '" + k + "'");
      field_ = k;
    }
    return true;
  }
  bool string(std::string& v) override {
    if (in_metadata_) {
      metadata[field_] = v;
      return true;
    }
    if (depth_ != 2 || field_ != "dtype" || entries.back().dtype) fail("text '" + v + "'");
    const auto* t = std::find(std::begin(kTypes), std::end(kTypes), v);
    check<LoadError>(t != std::end(kTypes), "{}: {}: dtype: expected F64, F32, F16, BF16, I64, I32 or U8, got {}", where_, name_,
                     v);
    entries.back().dtype = DType(t - std::begin(kTypes));
    return true;
  }
  bool start_array(size_t) override {
    auto* a = depth_ == 2 && !in_metadata_ && !array_ ? field() : nullptr;
    if (!a || a->has_value()) fail("an array");
    array_ = &a->emplace();
    return true;
  }
  bool end_array() override {
    array_ = nullptr;
    return true;
  }
  bool number_unsigned(uint64_t v) override {
    if (!array_ || v > uint64_t(std::numeric_limits<int64_t>::max())) fail(fmt::format("number {}", v));
    array_->push_back(int64_t(v));
    return true;
  }
  bool number_integer(int64_t v) override { fail(fmt::format("number {}", v)); }
  bool number_float(double v, const std::string&) override { fail(fmt::format("number {}", v)); }
  bool null() override { fail("null"); }
  bool boolean(bool) override { fail("a boolean"); }
  bool binary(nlohmann::json::binary_t&) override { fail("binary"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw LoadError(fmt::format("{}: header: expected JSON, got a syntax error at its byte {}", where_, position));
  }

 private:
  std::optional<std::vector<int64_t>>* field() {
    return field_ == "shape" ? &entries.back().shape : field_ == "data_offsets" ? &entries.back().offsets : nullptr;
  }
  [[noreturn]] void fail(const std::string& got) {
    throw LoadError(
        fmt::format("{}: header: {}: expected dtype, shape and data_offsets, got {}", where_, depth_ ? name_ : "start", got));
  }

  std::string where_, name_, field_;
  std::set<std::string> names_;
  std::vector<int64_t>* array_ = nullptr;
  int depth_ = 0;
  bool in_metadata_ = false;
};

struct Range {
  Shape shape;
  size_t begin, end;
};

Range checked_range(const Entry& e, size_t data_size, std::string_view where) {
  check<LoadError>(e.shape->size() <= Shape::kMaxRank, "{}: {}: shape: expected at most {} dimensions, got {}", where, e.name,
                   Shape::kMaxRank, e.shape->size());
  int64_t bytes = int64_t(dtype_size(*e.dtype));
  for (int64_t d : *e.shape)
    check<LoadError>(!__builtin_mul_overflow(bytes, d, &bytes), "{}: {}: shape [{}]: expected at most 2^63 bytes", where, e.name,
                     fmt::join(*e.shape, ", "));
  check<LoadError>(e.offsets->size() == 2, "{}: {}: data_offsets: expected 2 numbers, got {}", where, e.name, e.offsets->size());
  const int64_t begin = (*e.offsets)[0], end = (*e.offsets)[1];
  check<LoadError>(begin <= end && end <= int64_t(data_size),
                   "{}: {}: data_offsets: expected within {} bytes, got [{}, {}] "
                   "(is the file cut short?)",
                   where, e.name, data_size, begin, end);
  check<LoadError>(end - begin == bytes, "{}: {}: data_offsets: expected {} bytes for {} [{}], got {}", where, e.name, bytes,
                   kTypes[int(*e.dtype)], fmt::join(*e.shape, ", "), end - begin);
  return {Shape(*e.shape), size_t(begin), size_t(end)};
}

}  // namespace

WeightFile parse_safetensors(ByteSpan content, std::string_view where) {
  check<LoadError>(content.size() >= 8, "{}: safetensors: expected 8 bytes of header length, got {}", where, content.size());
  uint64_t length;
  std::memcpy(&length, content.data(), 8);
  check<LoadError>(length <= kMaxHeader, "{}: header: expected at most {} bytes, got {}", where, kMaxHeader, length);
  check<LoadError>(length <= content.size() - 8, "{}: header: expected {} bytes, got {} (is the file cut short?)", where, length,
                   content.size() - 8);
  const ByteSpan header = content.subspan(8, length), data = content.subspan(8 + length);
  const auto* text = reinterpret_cast<const char*>(header.data());
  HeaderReader reader{where};
  // Only an object opens the header; the events below assume it.
  check<LoadError>(length > 0 && text[0] == '{', "{}: header: expected a JSON object", where);
  nlohmann::json::sax_parse(text, text + length, &reader);

  std::vector<Range> ranges;
  ranges.reserve(reader.entries.size());
  for (const Entry& e : reader.entries) ranges.push_back(checked_range(e, data.size(), where));
  std::vector<size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(ranges[a].begin, ranges[a].end) < std::pair(ranges[b].begin, ranges[b].end);
  });
  size_t position = 0;
  for (size_t i : order) {
    check<LoadError>(ranges[i].begin == position, "{}: {}: data_offsets: expected to begin at {}, got {} ({})", where,
                     reader.entries[i].name, position, ranges[i].begin,
                     ranges[i].begin < position ? "tensors overlap" : "bytes that belong to no tensor");
    position = ranges[i].end;
  }
  check<LoadError>(position == data.size(), "{}: data: expected {} bytes, got {}", where, position, data.size());

  WeightFile file{WeightFormat::safetensors, {}, std::move(reader.metadata)};
  for (size_t i = 0; i < ranges.size(); ++i) {
    Tensor t = Tensor::empty(ranges[i].shape, *reader.entries[i].dtype);
    if (t.bytes()) std::memcpy(t.raw(), data.data() + ranges[i].begin, t.bytes());
    file.tensors.emplace_back(std::move(reader.entries[i].name), std::move(t));
  }
  return file;
}

void write_safetensors(AtomicFile& file, const NamedTensors& tensors, const Metadata& metadata, std::string_view where) {
  std::vector<size_t> order(tensors.size()), begin(tensors.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return dtype_size(tensors[a].second.dtype()) > dtype_size(tensors[b].second.dtype());
  });
  size_t position = 0;
  for (size_t i : order) position = (begin[i] = position) + tensors[i].second.bytes();

  std::string header = "{";
  if (!metadata.empty()) {
    const char* separator = "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      header += separator + json_quoted(key) + ":" + json_quoted(value);
      separator = ",";
    }
    header += "}";
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, t] = tensors[i];
    check<ConfigError>(name != "__metadata__" && names.insert(name).second, "{}: name '{}': expected each once", where, name);
    header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", header.size() > 1 ? "," : "",
                          json_quoted(name), kTypes[int(t.dtype())], fmt::join(t.shape().begin(), t.shape().end(), ","), begin[i],
                          begin[i] + t.bytes());
  }
  header += "}";
  // The lexer is the judge of UTF-8, so that what is written can be read.
  check<ConfigError>(nlohmann::json::accept(header), "{}: names and metadata: expected UTF-8", where);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  check<ConfigError>(header.size() <= kMaxHeader, "{}: header: expected at most {} bytes, got {}", where, kMaxHeader,
                     header.size());
  const uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (size_t i : order) {
    const Tensor host = tensors[i].second.to(Device{});
    file.write(ByteSpan(host.raw_bytes(), host.bytes()));
  }
}

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  AtomicFile file(path);
  write_safetensors(file, tensors, metadata, path.string());
  file.commit();
}

}  // namespace graft::io
