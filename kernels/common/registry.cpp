#include "kernels/common/registry.h"

#include <array>

#include "kernels/common/error.h"
#include "kernels/common/stand_in.h"

namespace graft {
namespace {

struct Slot {
  AnyKernel function = nullptr;
  const std::type_info* signature = nullptr;
};

Slot& slot(Op op, Pass pass, Backend backend, DType dtype) {
  static std::array<Slot, size_t{kOps} * kPasses * kBackends * kDTypes> table;  // zero before any registration
  return table[((size_t(op) * kPasses + size_t(pass)) * kBackends + size_t(backend)) * kDTypes + size_t(dtype)];
}

// f(slot, in): in(backend) is the same slot of another backend.
template <class F>
void for_each_slot(Backend backend, F f) {
  for (int op = 0; op < kOps; ++op)
    for (int pass = 0; pass < kPasses; ++pass)
      for (int t = 0; t < kDTypes; ++t) {
        const auto in = [&](Backend b) -> Slot& { return slot(Op(op), Pass(pass), b, DType(t)); };
        f(in(backend), in);
      }
}

struct OpInfo {
  std::string_view name, room;
  std::array<Pass, 3> passes;
  int count;
};

template <class... P>
constexpr OpInfo info(std::string_view name, std::string_view room, P... p) {
  return {name, room, {p...}, sizeof...(p)};
}

constexpr auto kInfo = [] {
  using enum Pass;
  return std::array{
#define OP(name, room, ...) info(#name, #room, __VA_ARGS__),
#include "kernels/ops.def"
#undef OP
  };
}();

}  // namespace

std::string_view name(Op op) { return kInfo[size_t(op)].name; }
std::string_view room(Op op) { return kInfo[size_t(op)].room; }
std::span<const Pass> passes(Op op) { return {kInfo[size_t(op)].passes.data(), size_t(kInfo[size_t(op)].count)}; }

std::string_view name(Pass pass) {
  constexpr std::string_view kNames[] = {"forward", "backward", "dgrad", "wgrad", "step"};
  return kNames[size_t(pass)];
}

bool has_kernel(Op op, Pass pass, Backend backend, DType dtype) { return slot(op, pass, backend, dtype).function; }

AnyKernel find_kernel(Op op, Pass pass, Backend backend, DType dtype, const std::type_info& signature) {
  const Slot& s = slot(op, pass, backend, dtype);
  check<NotImplemented>(s.function, "{}: no {} kernel for {} on {}", name(op), name(pass), name(dtype), name(backend));
  check<InternalError>(*s.signature == signature, "{}: {} kernel on {}: called with another signature than registered", name(op),
                       name(pass), name(backend));
  return s.function;
}

StandIn::StandIn(Backend kernels, Backend for_backend) : for_backend_(for_backend) {
  for_each_slot(for_backend, [&](Slot& s, const auto& in) {
    before_.emplace_back(s.function, s.signature);
    s = in(kernels);
  });
}
StandIn::~StandIn() {
  auto next = before_.begin();
  for_each_slot(for_backend_, [&](Slot& s, const auto&) { s = {next->first, next->second}, ++next; });
}

RegisterKernel::RegisterKernel(Op op, Pass pass, Backend backend, DType dtype, AnyKernel f, const std::type_info& t) {
  slot(op, pass, backend, dtype) = {f, &t};
}

}  // namespace graft
