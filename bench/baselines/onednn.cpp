// oneDNN, where this build has it (see onednn_module.cpp): convolutions, and sgemm.
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "bench/baselines/gemm_calls.h"
#include "bench/baselines/onednn.h"

namespace graft::bench {
namespace {

struct Module {
  std::string name;  // empty: not there
  decltype(&graft_onednn_threads) threads = nullptr;
  decltype(&graft_onednn_convolution) convolution = nullptr;
  decltype(&graft_onednn_convolve) convolve = nullptr;
  decltype(&graft_onednn_destroy) destroy = nullptr;
  decltype(&graft_onednn_sgemm) sgemm = nullptr;
};

const Module& module() {
  static const Module m = [] {
    Module found;
    setenv("GOMP_SPINCOUNT", "10000", 0);  // 0.2 ms; its default is some 5 ms
    void* handle = dlopen("libgraft_onednn.so", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return found;
    const auto get = [handle](const char* name, auto& f) {
      f = reinterpret_cast<std::remove_reference_t<decltype(f)>>(dlsym(handle, name));
      return f != nullptr;
    };
    decltype(&graft_onednn_version) version = nullptr;
    if (get("graft_onednn_version", version) && get("graft_onednn_threads", found.threads) &&
        get("graft_onednn_convolution", found.convolution) && get("graft_onednn_convolve", found.convolve) &&
        get("graft_onednn_destroy", found.destroy) && get("graft_onednn_sgemm", found.sgemm))
      found.name = std::string("onednn ") + version();
    return found;
  }();
  return m;
}

void gemm(float* c, const float* a, const float* b, int64_t m, int64_t n, int64_t k, bool ta, bool tb, float beta) {
  module().sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, a, ta ? m : k, b, tb ? k : n, beta, c, n);
}

std::vector<Candidate> make(Device& device, const harness::Case& c, DType real) {
  if (real != DType::f32 || module().name.empty()) return {};
  const int threads = device.context().pool().size();
  Candidate one{module().name};
  one.wake = [threads] { module().threads(threads); };
  one.wake();
  if (const auto* p = params_of<Conv2dParams>(c)) {
    if (c.op == Op::conv2d && c.pass == Pass::dgrad && c.args[4].role != harness::Arg::absent) return {};  // another gradient
    const size_t behind = c.op == Op::conv2d && c.pass == Pass::forward ? 1 : 0;                           // the statistics
    const bool with_bias = c.pass != Pass::dgrad && c.args[c.pass == Pass::forward ? 3 + behind : 1].role != harness::Arg::absent;
    const std::shared_ptr<void> made(module().convolution(p, int(c.pass), with_bias), [](void* v) {
      if (v) module().destroy(v);
    });
    if (!made) return {};
    one.run = [made, behind, pass = int(c.pass)](std::vector<void*> args) {
      args.erase(args.begin() + 1, args.begin() + 1 + std::ptrdiff_t(behind));
      module().convolve(made.get(), pass, &args);
    };
    return {one};
  }
  const Call call = gemm_call(gemm, c);
  if (!call) return {};
  one.run = [&device, call](std::vector<void*>& args) { call(device.context(), args); };
  return {one};
}

const RegisterBaseline registered(Backend::cpu, make);

}  // namespace
}  // namespace graft::bench
