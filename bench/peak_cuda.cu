#include <cuda_runtime.h>

#include "bench/peak_cuda.h"

namespace graft::bench {
namespace {

constexpr int kThreads = 256, kBlocksOfSm = 8, kRounds = 4096, kChains = 8;

__global__ void __launch_bounds__(kThreads) fma_kernel(float* sink, float a, float b) {
  float c[kChains];
#pragma unroll
  for (int i = 0; i < kChains; ++i) c[i] = float(threadIdx.x + i);
  for (int r = 0; r < kRounds; ++r) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) c[i] = fmaf(c[i], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += c[i];
  if (sum == 0) *sink = sum;  // never: keeps the work
}

__global__ void __launch_bounds__(kThreads) copy_kernel(float4* y, const float4* x, int64_t n) {
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += int64_t(gridDim.x) * kThreads) y[i] = x[i];
}

__global__ void __launch_bounds__(kThreads) triad_kernel(float4* y, const float4* a, const float4* b, int64_t n) {
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += int64_t(gridDim.x) * kThreads) {
    const float4 u = a[i], v = b[i];
    y[i] = {fmaf(0.5f, v.x, u.x), fmaf(0.5f, v.y, u.y), fmaf(0.5f, v.z, u.z), fmaf(0.5f, v.w, u.w)};
  }
}

unsigned blocks(int64_t n) { return unsigned((n + kThreads - 1) / kThreads); }

}  // namespace

double launch_fma(void* stream, float* sink, int multiprocessors) {
  const unsigned grid = unsigned(multiprocessors * kBlocksOfSm);
  fma_kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(sink, 0.999f, 0.001f);
  return 2.0 * grid * kThreads * kRounds * kChains;
}

double launch_copy(void* stream, float* y, const float* x, int64_t floats) {
  copy_kernel<<<blocks(floats / 4), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      reinterpret_cast<float4*>(y), reinterpret_cast<const float4*>(x), floats / 4);
  return 8.0 * double(floats);
}

double launch_triad(void* stream, float* y, const float* a, const float* b, int64_t floats) {
  triad_kernel<<<blocks(floats / 4), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      reinterpret_cast<float4*>(y), reinterpret_cast<const float4*>(a), reinterpret_cast<const float4*>(b), floats / 4);
  return 12.0 * double(floats);
}

}  // namespace graft::bench
