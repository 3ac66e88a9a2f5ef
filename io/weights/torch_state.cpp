#include "io/weights/torch_state.h"

#include <fmt/ranges.h>

#include <set>
#include <unordered_map>

#include "io/weights/strided.h"

namespace graft::io {
namespace {

using Kind = Pickle::Kind;
using Ref = Pickle::Ref;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxVisits = 16'000'000, kMaxTensors = 200'000, kMaxName = 1024;

class StateReader {
 public:
  StateReader(const Pickle& p, const StorageReader& storage, std::string_view where) : p_(p), storage_(storage), where_(where) {}

  NamedTensors read() {
    Ref root = p_.root;
    check<LoadError>(
        p_[root].kind == Kind::dict || p_[root].kind == Kind::list || p_[root].kind == Kind::tuple || p_[root].kind == Kind::tensor,
        "{}: pickle: expected a state_dict, a container or a tensor, got another object", where_);
    if (p_[root].kind == Kind::dict) {
      const auto& items = p_[root].items;
      for (size_t i = 0; i + 1 < items.size(); i += 2)
        if (p_[items[i]].kind == Kind::text && p_[items[i]].text == "state_dict" && p_[items[i + 1]].kind == Kind::dict)
          root = items[i + 1];
    }
    visit(root, 0);
    return std::move(out_);
  }

 private:
  void visit(Ref r, int depth) {
    const Pickle::Object& o = p_[r];
    check<LoadError>(depth <= kMaxDepth && ++visits_ <= kMaxVisits,
                     "{}: {}: expected at most {} levels and {} items (does it contain itself?)", where_, name_.substr(0, 100),
                     kMaxDepth, kMaxVisits);
    if (o.kind == Kind::tensor) emit(o);
    else if (o.kind == Kind::dict)
      for (size_t i = 0; i + 1 < o.items.size(); i += 2) {
        const Pickle::Object &key = p_[o.items[i]], &value = p_[o.items[i + 1]];
        if (value.kind < Kind::tuple) continue;  // numbers and text, whatever their key
        check<LoadError>(key.kind == Kind::text || key.kind == Kind::integer || key.kind == Kind::boolean,
                         "{}: {}: expected keys of text or integers", where_, name_);
        descend(key.kind == Kind::text ? std::string(key.text) : std::to_string(key.integer), o.items[i + 1], depth);
      }
    else if (o.kind == Kind::list || o.kind == Kind::tuple)
      for (size_t i = 0; i < o.items.size(); ++i)
        if (p_[o.items[i]].kind >= Kind::tuple) descend(std::to_string(i), o.items[i], depth);
  }

  void descend(const std::string& part, Ref r, int depth) {
    const size_t length = name_.size();
    if (length) name_ += '.';
    name_ += part;
    check<LoadError>(name_.size() <= kMaxName, "{}: name '{}..': expected at most {} bytes", where_, name_.substr(0, 60), kMaxName);
    visit(r, depth + 1);
    name_.resize(length);
  }

  int64_t integer(Ref r, const char* what) const {
    check<LoadError>(p_[r].kind == Kind::integer && p_[r].integer >= 0, "{}: {}: {}: expected an integer from 0", where_, name_,
                     what);
    return p_[r].integer;
  }

  void emit(const Pickle::Object& tensor) {
    if (name_.empty()) name_ = "tensor";
    check<LoadError>(out_.size() < kMaxTensors, "{}: expected at most {} tensors", where_, kMaxTensors);
    check<LoadError>(names_.insert(name_).second, "{}: expected each name once, got '{}' twice", where_, name_);
    const Pickle::Object& storage = p_[tensor.items[0]];
    const DType dtype = p_.storage_dtype(storage);
    const int64_t stored = integer(storage.items[4], "storage size");
    int64_t offset = integer(tensor.items[1], "offset"), limit = stored;
    if (storage.items.size() == 6 && p_[storage.items[5]].kind != Kind::none) {  // a view, PyTorch before 0.4
      const auto& view = p_[storage.items[5]];
      check<LoadError>(view.kind == Kind::tuple && view.items.size() == 3, "{}: {}: storage view: expected 3 parts", where_, name_);
      const int64_t begin = integer(view.items[1], "view offset"), count = integer(view.items[2], "view size");
      check<LoadError>(begin <= stored && count <= stored - begin && offset <= count,
                       "{}: {}: storage view: expected within {} elements, got {} at {}", where_, name_, stored, count, begin);
      offset += begin, limit = begin + count;
    }
    const auto &sizes = p_[tensor.items[2]].items, &steps = p_[tensor.items[3]].items;
    check<LoadError>(sizes.size() <= Shape::kMaxRank && sizes.size() == steps.size(),
                     "{}: {}: shape: expected at most {} sizes and as many strides, got {} and {}", where_, name_, Shape::kMaxRank,
                     sizes.size(), steps.size());
    std::vector<int64_t> shape, strides;
    int64_t numel = 1, last = offset;
    bool fits = true, empty = false;
    for (size_t d = 0; d < sizes.size(); ++d) {
      shape.push_back(integer(sizes[d], "size"));
      strides.push_back(integer(steps[d], "stride"));
      empty |= shape[d] == 0;
    }
    for (size_t d = 0; d < sizes.size(); ++d) {
      int64_t reach = 0;
      fits &= !__builtin_mul_overflow(numel, shape[d], &numel);
      if (!empty) fits &= !__builtin_mul_overflow(shape[d] - 1, strides[d], &reach) && !__builtin_add_overflow(last, reach, &last);
    }
    check<LoadError>(fits && (empty || last < limit),
                     "{}: {}: shape [{}], strides [{}], offset {}: expected within {} "
                     "elements",
                     where_, name_, fmt::join(shape, ", "), fmt::join(strides, ", "), offset, limit);
    const ByteSpan bytes = storage_(p_[storage.items[2]].text, dtype, stored);
    int64_t& used = used_[p_[storage.items[2]].text];
    check<LoadError>(numel <= 16 * (int64_t(bytes.size()) / int64_t(dtype_size(dtype))) + 1024 - used,
                     "{}: {}: views of storage '{}': expected at most 16 times its {} elements", where_, name_,
                     p_[storage.items[2]].text, stored);
    used += numel;
    const Tensor t = Tensor::empty(Shape(shape), dtype);
    if (!empty) copy_strided(t, bytes.data() + size_t(offset) * dtype_size(dtype), strides);
    out_.emplace_back(name_, t);
  }

  const Pickle& p_;
  const StorageReader& storage_;
  std::string_view where_;
  std::string name_;
  std::set<std::string> names_;
  std::unordered_map<std::string_view, int64_t> used_;
  NamedTensors out_;
  size_t visits_ = 0;
};

}  // namespace

NamedTensors named_tensors(const Pickle& pickle, const StorageReader& storage, std::string_view where) {
  return StateReader(pickle, storage, where).read();
}

}  // namespace graft::io
