// Versions of one kernel: a ladder from the one that is easiest to read to the fastest. Each accepts what its supports()
// says, version 1 everything. What runs is the last that accepts the arguments and pays there, unless the user asks for one by
// number: Context::set_version(Op::matmul, 3), or for a whole program GRAFT_VERSION=matmul=3,linear=1.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "kernels/common/context.h"
#include "kernels/common/registry.h"

namespace graft {

struct Version {
  int number;  // the same number is the same method in every dtype; there may be gaps
  std::string_view name;
  bool by_request = false;  // rounds more than its dtype promises: never the default
};

template <class Signature>
struct Rung;
template <class... A>
struct Rung<void(Context&, A...)> {
  Version version;
  bool (*supports)(A...);
  void (*run)(Context&, A...);
  bool (*pays)(A...) = nullptr;  // whether it is faster than those before where it is accepted; null: always
};

// What supports() of version 1 is.
template <class... A>
bool accepts_all(A...) {
  return true;
}

// The index of the version to run. ConfigError where the requested one does not exist or does not accept the arguments:
// something else than what was asked for is never run. (Compiled apart: nvcc does not see the formatting of errors.)
size_t choose_version(Op, int requested, std::span<const Version>, std::span<const bool> accepts);

template <class... A, size_t N, class... B>
void run_version(Op op, const Rung<void(Context&, A...)> (&ladder)[N], Context& context, B&&... args) {
  Version versions[N];
  bool accepts[N];
  const int requested = context.version(op);
  for (size_t i = 0; i < N; ++i) {
    const auto& rung = ladder[i];
    versions[i] = rung.version;
    accepts[i] = rung.supports(args...) && (requested || !rung.pays || rung.pays(args...));
  }
  ladder[choose_version(op, requested, versions, accepts)].run(context, args...);
}

// For tests, the benchmark and the support table. Empty where an op has one version only.
std::span<const Version> versions(Op, Pass, Backend, DType);

struct RegisterVersions {
  RegisterVersions(Op, Pass, Backend, DType, std::vector<Version>);
  template <class S, size_t N>
  RegisterVersions(Op op, Pass pass, Backend backend, DType dtype, const Rung<S> (&ladder)[N])
      : RegisterVersions(op, pass, backend, dtype, [&] {
          std::vector<Version> v;
          for (const Rung<S>& r : ladder) v.push_back(r.version);
          return v;
        }()) {}
};
// After GRAFT_KERNEL of the same slot.
#define GRAFT_VERSIONS(op, pass, backend, T, ladder)                               \
  static const ::graft::RegisterVersions versions_##op##_##pass##_##backend##_##T( \
      ::graft::Op::op, ::graft::Pass::pass, ::graft::Backend::backend, ::graft::dtype_of<T>, ladder)

// For kernels that are templates of their element type: f32 and bf16 slots of the GPU back end and their ladders kLadder<T>.
#define GRAFT_GPU_KERNEL(op, pass, Signature, kLadder)        \
  GRAFT_KERNEL(op, pass, GRAFT_GPU, float, Signature);        \
  GRAFT_KERNEL(op, pass, GRAFT_GPU, BFloat16, Signature);     \
  GRAFT_VERSIONS(op, pass, GRAFT_GPU, float, kLadder<float>); \
  GRAFT_VERSIONS(op, pass, GRAFT_GPU, BFloat16, kLadder<BFloat16>)

}  // namespace graft
