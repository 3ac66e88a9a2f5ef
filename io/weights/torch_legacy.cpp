#include "io/weights/torch_legacy.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "io/weights/torch_state.h"

namespace graft::io {
namespace {

// The pickle of 0x1950a86a20f9469cfc6c in protocol 2: PROTO 2, LONG1 of 10 bytes, STOP.
constexpr std::string_view kMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";

struct Stored {
  DType dtype;
  int64_t count;
  ByteSpan bytes = {};
  bool found = false;
};

void check_system(const Pickle& system, std::string_view where) {
  const auto& items = system[system.root].items;
  for (size_t i = 0; system[system.root].kind == Pickle::Kind::dict && i + 1 < items.size(); i += 2)
    check<LoadError>(system[items[i]].text != "little_endian" || system[items[i + 1]].integer == 1,
                     "{}: byte order: expected little endian, got big", where);
}

}  // namespace

bool is_torch_legacy(ByteSpan content) {
  return content.size() >= kMagic.size() && std::memcmp(content.data(), kMagic.data(), kMagic.size()) == 0;
}

WeightFile parse_torch_legacy(ByteSpan content, std::string_view where) {
  check<LoadError>(is_torch_legacy(content), "{}: torch: expected its magic number", where);
  size_t position = kMagic.size();
  const Pickle version = unpickle(content, position, where);
  check<LoadError>(version[version.root].integer == 1001, "{}: torch: protocol: expected 1001, got {}", where,
                   version[version.root].integer);
  check_system(unpickle(content, position, where), where);
  const Pickle state = unpickle(content, position, where);
  const Pickle keys = unpickle(content, position, where);

  std::map<std::string_view, Stored> storages;
  for (const auto& o : state.objects) {
    if (o.kind != Pickle::Kind::storage) continue;
    const Stored s{state.storage_dtype(o), state[o.items[4]].integer};
    const auto [it, fresh] = storages.emplace(state[o.items[2]].text, s);
    check<LoadError>(fresh || (it->second.dtype == s.dtype && it->second.count == s.count),
                     "{}: storage '{}': expected one type and size, got two", where, it->first);
  }
  check<LoadError>(keys[keys.root].kind == Pickle::Kind::list, "{}: torch: expected a list of storage keys", where);
  for (const auto k : keys[keys.root].items) {
    const std::string_view key = keys[k].text;
    const auto it = storages.find(key);
    check<LoadError>(it != storages.end() && !it->second.found, "{}: storage '{}': expected one that the state names, once", where,
                     key);
    Stored& s = it->second;
    int64_t count = -1;
    if (content.size() - position >= 8) std::memcpy(&count, content.data() + position, 8);
    position += std::min<size_t>(8, content.size() - position);
    check<LoadError>(count == s.count && count >= 0 && uint64_t(count) <= (content.size() - position) / dtype_size(s.dtype),
                     "{}: storage '{}': expected {} elements of {}, got {} and {} bytes (is the file cut short?)", where, key,
                     s.count, name(s.dtype), count, content.size() - position);
    s.bytes = content.subspan(position, size_t(count) * dtype_size(s.dtype));
    s.found = true;
    position += s.bytes.size();
  }
  check<LoadError>(position == content.size(), "{}: torch: expected its end at byte {}, got {}", where, position, content.size());
  const StorageReader storage = [&](std::string_view key, DType, int64_t) {
    const Stored& s = storages.at(key);
    check<LoadError>(s.found, "{}: storage '{}': expected its elements, got none", where, key);
    return s.bytes;
  };
  return {WeightFormat::torch_legacy, named_tensors(state, storage, where), {}};
}

}  // namespace graft::io
