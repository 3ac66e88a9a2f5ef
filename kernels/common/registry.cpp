#include "kernels/common/registry.h"

#include <array>

#include "kernels/common/error.h"

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

RegisterKernel::RegisterKernel(Op op, Pass pass, Backend backend, DType dtype, AnyKernel f, const std::type_info& t) {
  slot(op, pass, backend, dtype) = {f, &t};
}

}  // namespace graft
