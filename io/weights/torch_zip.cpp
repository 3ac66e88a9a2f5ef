#include "io/weights/torch_zip.h"

#include "io/weights/torch_state.h"

namespace graft::io {
namespace {

constexpr std::string_view kPickle = "data.pkl";

const ZipReader::Entry* find_pickle(const ZipReader& zip) {
  for (const auto& e : zip.entries()) {
    const std::string_view n = e.name;
    if (n == kPickle || (n.ends_with(kPickle) && n.find('/') == n.size() - kPickle.size() - 1)) return &e;
  }
  return nullptr;
}

}  // namespace

bool is_torch_zip(const ZipReader& zip) { return find_pickle(zip) != nullptr; }

WeightFile parse_torch_zip(ZipReader& zip, std::string_view where) {
  const auto* state = find_pickle(zip);
  check<LoadError>(state != nullptr, "{}: torch zip: expected an entry data.pkl", where);
  const std::string prefix = state->name.substr(0, state->name.size() - kPickle.size());
  if (const auto* order = zip.find(prefix + "byteorder")) {
    const ByteSpan s = zip.read(*order);
    const std::string_view text(reinterpret_cast<const char*>(s.data()), s.size());
    check<LoadError>(text == "little", "{}: byteorder: expected little, got {}", where, text.substr(0, 20));
  }
  size_t position = 0;
  const ByteSpan content = zip.read(*state);
  const Pickle pickle = unpickle(content, position, where);
  check<LoadError>(position == content.size(), "{}: pickle: expected its end at byte {}, got {}", where, position, content.size());
  const StorageReader storage = [&](std::string_view key, DType dtype, int64_t count) {
    const auto* e = zip.find(prefix + "data/" + std::string(key));
    check<LoadError>(e != nullptr, "{}: storage '{}': expected an entry {}data/{}, got none", where, key, prefix, key);
    check<LoadError>(e->size % dtype_size(dtype) == 0 && e->size / dtype_size(dtype) == uint64_t(count),
                     "{}: storage '{}': expected {} elements of {}, got {} bytes", where, key, count, name(dtype), e->size);
    return zip.read(*e);
  };
  return {WeightFormat::torch_zip, named_tensors(pickle, storage, where), {}};
}

}  // namespace graft::io
