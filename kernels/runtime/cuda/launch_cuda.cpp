#include "kernels/runtime/cuda/launch.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/runtime/cuda/errors_cuda.h"

namespace graft::cuda {
namespace {

// With namespaces and parameters cut off: "softmax_v2<8>".
std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || !mangled) {
    cudaGetLastError();
    return "a kernel that this GPU has no code for";
  }
  int status = 0;
  char* text = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = status == 0 ? text : mangled;
  std::free(text);
  if (const size_t at = name.find("(anonymous namespace)::"); at != name.npos) name.erase(0, at + 23);
  return name.substr(0, name.rfind('('));
}

[[noreturn]] void throw_launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const char* what, cudaError_t e) {
  cudaGetLastError();
  throw DeviceError(fmt::format("cuda: {}: {}: {} ({}); grid ({}, {}, {}), block ({}, {}, {}), {} bytes of dynamic shared memory",
                                kernel_name(kernel), what, cudaGetErrorString(e), cudaGetErrorName(e), grid.x, grid.y, grid.z,
                                block.x, block.y, block.z, shared_bytes));
}

bool asked_for(const char* variable) {
  const char* s = std::getenv(variable);
  return s && *s && *s != '0';
}
const bool profiling = asked_for("GRAFT_CUDA_PROFILE"), synchronous = profiling || asked_for("GRAFT_CUDA_SYNC");

// Seconds from launch to end by kernel, printed at the end of the program. Each is waited for, which adds some 5 us.
class Profile {
 public:
  void add(const void* kernel, double seconds) {
    const std::lock_guard lock(mutex_);
    Entry& e = entries_[kernel];
    if (e.launches++ == 0) e.name = kernel_name(kernel);
    else e.seconds += seconds;  // the first loads the kernel
  }
  ~Profile() {
    double total = 0;
    std::vector<Entry> sorted;
    for (const auto& [kernel, e] : entries_) sorted.push_back(e), total += e.seconds;
    std::sort(sorted.begin(), sorted.end(), [](const Entry& a, const Entry& b) { return a.seconds > b.seconds; });
    for (const Entry& e : sorted)
      fmt::print(stderr, "{:10.3f} ms {:5.1f} %  {:7} x {:9.1f} us  {}\n", e.seconds * 1e3, 100 * e.seconds / total, e.launches - 1,
                 e.seconds * 1e6 / double(std::max<int64_t>(e.launches - 1, 1)), e.name);
  }

 private:
  struct Entry {
    std::string name;
    int64_t launches = 0;
    double seconds = 0;
  };
  std::mutex mutex_;
  std::map<const void*, Entry> entries_;
};

}  // namespace

void allow_shared(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
  if (e != cudaSuccess) throw_launch(kernel, grid, block, shared_bytes, "not so much shared memory", e);
}

void launched(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, void* stream) {
  cudaError_t e = cudaGetLastError();
  if (e != cudaSuccess) throw_launch(kernel, grid, block, shared_bytes, "cannot be launched", e);
  if (!synchronous) return;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  const auto s = static_cast<cudaStream_t>(stream);
  if (cudaStreamIsCapturing(s, &capture) != cudaSuccess || capture != cudaStreamCaptureStatusNone) return;
  const auto start = std::chrono::steady_clock::now();
  e = cudaStreamSynchronize(s);
  if (e != cudaSuccess) throw_launch(kernel, grid, block, shared_bytes, "failed", e);
  if (!profiling) return;
  static Profile profile;
  profile.add(kernel, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace graft::cuda
