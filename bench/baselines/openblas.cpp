// OpenBLAS by dlopen, where it is installed (Debian: libopenblas0-pthread).
#include <dlfcn.h>

#include <cstdlib>
#include <vector>

#include "bench/baselines/gemm_calls.h"

namespace graft::bench {
namespace {

constexpr int kRowMajor = 101, kPlain = 111, kTransposed = 112;  // cblas.h
using Sgemm = void(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
                   float beta, float* c, int ldc);

struct Library {
  Sgemm* sgemm = nullptr;
  void (*set_threads)(int) = nullptr;
  std::string name;
};

const Library& library() {
  static const Library l = [] {
    Library found;
    // Its idle threads spin for 2^26 cycles and would disturb whoever is timed next: 2^14 are some microseconds.
    setenv("OPENBLAS_THREAD_TIMEOUT", "14", 0);
    void* handle = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return found;
    found.sgemm = reinterpret_cast<Sgemm*>(dlsym(handle, "cblas_sgemm"));
    found.set_threads = reinterpret_cast<void (*)(int)>(dlsym(handle, "openblas_set_num_threads"));
    const auto config = reinterpret_cast<char* (*)()>(dlsym(handle, "openblas_get_config"));
    std::string text = config ? config() : "OpenBLAS";  // "OpenBLAS 0.3.21 DYNAMIC_ARCH NO_AFFINITY Zen MAX_THREADS=128"
    const size_t second = text.find(' ', text.find(' ') + 1);
    found.name = "openblas" + text.substr(8, second == text.npos ? second : second - 8);
    return found;
  }();
  return l;
}

// c (+)= op(a) op(b), row-major and contiguous.
void gemm(float* c, const float* a, const float* b, int64_t m, int64_t n, int64_t k, bool ta, bool tb, float beta) {
  library().sgemm(kRowMajor, ta ? kTransposed : kPlain, tb ? kTransposed : kPlain, int(m), int(n), int(k), 1, a, int(ta ? m : k), b,
                  int(tb ? k : n), beta, c, int(n));
}

std::vector<Candidate> make(Device& device, const harness::Case& c, DType real) {
  if (real != DType::f32 || !library().sgemm) return {};
  const Call call = gemm_call(gemm, c);
  if (!call) return {};
  const int threads = device.context().pool().size();
  Candidate one{library().name};
  one.run = [&device, call](std::vector<void*>& args) { call(device.context(), args); };
  one.wake = [threads] {
    static std::vector<float> a(128 * 128), b(128 * 128);
    if (library().set_threads) library().set_threads(threads);
    gemm(a.data(), b.data(), b.data(), 128, 128, 128, false, false, 0);
  };
  return {one};
}

const RegisterBaseline registered(Backend::cpu, make);

}  // namespace
}  // namespace graft::bench
