#include "kernels/runtime/cuda/launch.h"

#include <cxxabi.h>

#include <cstdlib>

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

const bool synchronous = [] {
  const char* s = std::getenv("GRAFT_CUDA_SYNC");
  return s && *s && *s != '0';
}();

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
  e = cudaStreamSynchronize(s);
  if (e != cudaSuccess) throw_launch(kernel, grid, block, shared_bytes, "failed", e);
}

}  // namespace graft::cuda
