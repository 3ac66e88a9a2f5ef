#include "io/weights/unpickle.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "kernels/common/error.h"

namespace graft::io {
namespace {

using Kind = Pickle::Kind;
using Ref = Pickle::Ref;

constexpr size_t kMaxObjects = 4'000'000;  // a state_dict needs about 20 a tensor
constexpr size_t kMaxItems = 64'000'000;   // references held by containers, which one byte of pickle can copy

enum class Global { ordered_dict, size, rebuild_tensor, rebuild_tensor_v2, rebuild_parameter, storage };

struct Allowed {
  std::string_view module, name;
  Global what;
  DType dtype = DType::f32;
};
constexpr Allowed kAllowed[] = {
    {"collections", "OrderedDict", Global::ordered_dict},
    {"torch", "Size", Global::size},
    {"torch._utils", "_rebuild_tensor", Global::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", Global::rebuild_tensor_v2},
    {"torch._utils", "_rebuild_parameter", Global::rebuild_parameter},
    {"torch", "FloatStorage", Global::storage, DType::f32},
    {"torch", "DoubleStorage", Global::storage, DType::f64},
    {"torch", "HalfStorage", Global::storage, DType::f16},
    {"torch", "BFloat16Storage", Global::storage, DType::bf16},
    {"torch", "IntStorage", Global::storage, DType::i32},
    {"torch", "LongStorage", Global::storage, DType::i64},
    {"torch", "ByteStorage", Global::storage, DType::u8},
    {"torch", "BoolStorage", Global::storage, DType::u8},
};

// pickletools names; those of protocol 2 that torch.save writes, and of protocol 4 what is needed to name a global.
enum Op : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyList = ']',
  kEmptyTuple = ')',
  kEmptyDict = '}',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

class Unpickler {
 public:
  Unpickler(ByteSpan content, size_t& position, std::string_view where)
      : s_(reinterpret_cast<const char*>(content.data()), content.size()), position_(position), where_(where) {}

  Pickle run() {
    while (step()) {
    }
    p_.root = pop();
    return std::move(p_);
  }

 private:
  bool step() {
    op_at_ = position_;
    const auto op = number<uint8_t>();
    switch (op) {
      case kProto: {
        const int version = number<uint8_t>();
        if (version > 5) fail("protocol", "at most 5", std::to_string(version));
        return true;
      }
      case kFrame: number<uint64_t>(); return true;
      case kStop: return false;
      case kMark: marks_.push_back(stack_.size()); return true;
      case kPop: pop(); return true;
      case kPopMark: pop_mark(); return true;
      case kNone: push(Kind::none); return true;
      case kNewTrue: push(Kind::boolean, 1); return true;
      case kNewFalse: push(Kind::boolean, 0); return true;
      case kBinInt: push(Kind::integer, number<int32_t>()); return true;
      case kBinInt1: push(Kind::integer, number<uint8_t>()); return true;
      case kBinInt2: push(Kind::integer, number<uint16_t>()); return true;
      case kLong1: push(Kind::integer, long_integer()); return true;
      case kBinFloat:
        take(8);
        push(Kind::real);
        return true;
      case kBinString:
      case kBinUnicode: push_text(number<uint32_t>()); return true;
      case kShortBinString:
      case kShortBinUnicode: push_text(number<uint8_t>()); return true;
      case kEmptyTuple: push(Kind::tuple); return true;
      case kEmptyList: push(Kind::list); return true;
      case kEmptyDict: push(Kind::dict); return true;
      case kTuple: gather(Kind::tuple, pop_mark()); return true;
      case kList: gather(Kind::list, pop_mark()); return true;
      case kDict: gather(Kind::dict, pop_mark()); return true;
      case kTuple1:
      case kTuple2:
      case kTuple3: {
        std::vector<Ref> items(size_t(op - kTuple1) + 1);
        for (size_t i = items.size(); i-- > 0;) items[i] = pop();
        gather(Kind::tuple, std::move(items));
        return true;
      }
      case kAppend: extend(Kind::list, {pop()}); return true;
      case kAppends: extend(Kind::list, pop_mark()); return true;
      case kSetItem: {
        const Ref value = pop(), key = pop();
        extend(Kind::dict, {key, value});
        return true;
      }
      case kSetItems: extend(Kind::dict, pop_mark()); return true;
      case kBinPut: memo_[number<uint8_t>()] = top(); return true;
      case kLongBinPut: memo_[number<uint32_t>()] = top(); return true;
      case kMemoize: memo_[uint32_t(memo_.size())] = top(); return true;
      case kBinGet: get(number<uint8_t>()); return true;
      case kLongBinGet: get(number<uint32_t>()); return true;
      case kGlobal:
      case kInst: {
        const std::string_view module = line(), name = line();
        push_global(module, name);
        if (op == kInst) fail("opcode", "none that calls a class", "INST");
        return true;
      }
      case kStackGlobal: {
        const Ref name = pop(), module = pop();
        need(module, Kind::text), need(name, Kind::text);
        push_global(p_[module].text, p_[name].text);
        return true;
      }
      case kReduce:
      case kNewObj: {
        const Ref arguments = pop(), callee = pop();
        need(callee, Kind::global), need(arguments, Kind::tuple);
        stack_.push_back(call(p_[callee], arguments));
        return true;
      }
      case kBuild: {
        // The state of an OrderedDict is its attributes (torch's _metadata): versions of modules, no weights.
        pop();
        need(top(), Kind::dict);
        return true;
      }
      case kBinPersId: push_storage(pop()); return true;
      default: fail("opcode", "one that torch.save writes", fmt::format("{:#04x}", op));
    }
  }

  // What the allow-list permits to be called, done here by hand.
  Ref call(const Pickle::Object& callee, Ref arguments) {
    const std::vector<Ref>& a = p_[arguments].items;
    switch (kAllowed[callee.integer].what) {
      case Global::ordered_dict: {
        std::vector<Ref> pairs;
        if (!a.empty()) {
          need(a[0], Kind::list);
          for (Ref pair : p_[a[0]].items) {
            if (p_[pair].items.size() != 2) fail("OrderedDict", "pairs", "another list");
            pairs.insert(pairs.end(), p_[pair].items.begin(), p_[pair].items.end());
          }
        }
        return make(Kind::dict, std::move(pairs));
      }
      case Global::size:
        if (a.size() != 1) fail("torch.Size", "one argument", std::to_string(a.size()));
        need(a[0], Kind::tuple);
        return a[0];
      case Global::rebuild_parameter:
        if (a.size() != 3) fail("_rebuild_parameter", "3 arguments", std::to_string(a.size()));
        need(a[0], Kind::tensor);
        return a[0];
      case Global::rebuild_tensor:
      case Global::rebuild_tensor_v2:
        // v2 adds requires_grad, backward hooks and, sometimes, metadata.
        if (a.size() < 4 || a.size() > 7) fail(callee.text, "4 to 7 arguments", std::to_string(a.size()));
        need(a[0], Kind::storage), need(a[1], Kind::integer), need(a[2], Kind::tuple), need(a[3], Kind::tuple);
        return make(Kind::tensor, {a[0], a[1], a[2], a[3]});
      case Global::storage: break;
    }
    fail("call", "a function that rebuilds a tensor", callee.text);
  }

  void push_storage(Ref id) {
    need(id, Kind::tuple);
    const std::vector<Ref>& a = p_[id].items;
    if (a.size() < 5 || a.size() > 6) fail("persistent id", "5 or 6 parts", std::to_string(a.size()));
    need(a[0], Kind::text), need(a[1], Kind::global), need(a[2], Kind::text), need(a[4], Kind::integer);
    if (p_[a[0]].text != "storage" || kAllowed[p_[a[1]].integer].what != Global::storage)
      fail("persistent id", "a storage", fmt::format("'{}'", p_[a[0]].text.substr(0, 40)));
    stack_.push_back(make(Kind::storage, a));
  }

  void push_global(std::string_view module, std::string_view name) {
    for (const Allowed& a : kAllowed)
      if (module == a.module && name == a.name) return push(Kind::global, &a - kAllowed, a.name);
    throw LoadError(
        fmt::format("{}: pickle: byte {}: global {}.{} is not allowed: expected tensors and containers of "
                    "PyTorch (nothing was executed)",
                    where_, op_at_, module.substr(0, 100), name.substr(0, 100)));
  }

  // Objects, stack, memo.
  Ref make(Kind kind, std::vector<Ref> items = {}, int64_t integer = 0, std::string_view text = {}) {
    count_items(items.size());
    if (p_.objects.size() >= kMaxObjects) fail("size", fmt::format("at most {} objects", kMaxObjects), "more");
    p_.objects.push_back({kind, integer, text, std::move(items)});
    return Ref(p_.objects.size() - 1);
  }
  void push(Kind kind, int64_t integer = 0, std::string_view text = {}) { stack_.push_back(make(kind, {}, integer, text)); }
  void push_text(size_t n) { push(Kind::text, 0, take(n)); }
  void gather(Kind kind, std::vector<Ref> items) {
    if (kind == Kind::dict) need_pairs(items);
    stack_.push_back(make(kind, std::move(items)));
  }
  void extend(Kind kind, const std::vector<Ref>& items) {
    need(top(), kind);
    if (kind == Kind::dict) need_pairs(items);
    count_items(items.size());
    auto& to = p_.objects[top()].items;
    to.insert(to.end(), items.begin(), items.end());
  }
  void count_items(size_t n) {
    items_ += n;
    if (items_ > kMaxItems) fail("size", fmt::format("at most {} items", kMaxItems), "more");
  }
  Ref top() {
    if (stack_.size() <= floor()) fail("stack", "a value", "none");
    return stack_.back();
  }
  Ref pop() {
    const Ref r = top();
    stack_.pop_back();
    return r;
  }
  std::vector<Ref> pop_mark() {
    if (marks_.empty()) fail("stack", "a mark", "none");
    const auto begin = stack_.begin() + std::ptrdiff_t(floor());
    std::vector<Ref> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void get(uint32_t index) {
    const auto it = memo_.find(index);
    if (it == memo_.end()) fail("memo", "a value", "none under " + std::to_string(index));
    stack_.push_back(it->second);
  }
  void need(Ref r, Kind kind) {
    constexpr std::string_view kNames[] = {"none", "boolean", "integer", "real",    "text",  "tuple",
                                           "list", "dict",    "global",  "storage", "tensor"};
    if (p_[r].kind != kind) fail("value", kNames[int(kind)], kNames[int(p_[r].kind)]);
  }
  void need_pairs(const std::vector<Ref>& items) {
    if (items.size() % 2) fail("dict", "keys and values", "an odd number of them");
  }

  // Content.
  std::string_view take(size_t n) {
    if (n > s_.size() - position_)
      fail("content", fmt::format("{} bytes", n), fmt::format("{} (is the file cut short?)", s_.size() - position_));
    return s_.substr(std::exchange(position_, position_ + n), n);
  }
  template <class T>
  T number() {
    T v;
    std::memcpy(&v, take(sizeof v).data(), sizeof v);
    return v;
  }
  int64_t long_integer() {
    const std::string_view digits = take(number<uint8_t>());
    if (digits.size() > 8) fail("integer", "at most 8 bytes", std::to_string(digits.size()));
    uint64_t v = !digits.empty() && (digits.back() & 0x80) ? ~uint64_t{0} : 0;
    if (!digits.empty()) std::memcpy(&v, digits.data(), digits.size());
    return int64_t(v);
  }
  std::string_view line() {
    const size_t end = s_.find('\n', position_);
    if (end == s_.npos) fail("content", "a line", "the end (is the file cut short?)");
    const std::string_view text = take(end - position_);
    take(1);
    return text;
  }
  [[noreturn]] void fail(std::string_view what, std::string_view expected, std::string_view got) const {
    throw LoadError(fmt::format("{}: pickle: byte {}: {}: expected {}, got {}", where_, op_at_, what, expected, got));
  }

  std::string_view s_;
  size_t& position_;
  size_t op_at_ = 0, items_ = 0;
  std::string_view where_;
  Pickle p_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, Ref> memo_;
};

}  // namespace

DType Pickle::storage_dtype(const Object& storage) const { return kAllowed[objects[storage.items[1]].integer].dtype; }

Pickle unpickle(ByteSpan content, size_t& position, std::string_view where) { return Unpickler(content, position, where).run(); }

}  // namespace graft::io
