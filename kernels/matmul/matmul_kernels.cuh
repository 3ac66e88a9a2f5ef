// c = op(a) op(b), formula in matmul.h.
//   v1  one thread an element of c, all of its inputs from global memory: 2 loads a multiply-add; accepts all
//   v2  32x32 tiles of a and b through shared memory, four elements a thread: each load serves 32 multiply-adds; the default
#include "kernels/common/registry.h"
#include "kernels/common/simt.h"
#include "kernels/matmul/matmul.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTile = 32, kRowsPerThread = 4, kTileThreads = kTile * kTile / kRowsPerThread;
constexpr int64_t kMaxBatch = 65535;  // of gridDim.z; the kernels stride over more

__device__ float load_a(const float* a, const MatmulParams& p, int64_t i, int64_t k) {
  return i < p.m && k < p.k ? (p.transpose_a ? a[k * p.m + i] : a[i * p.k + k]) : 0;
}
__device__ float load_b(const float* b, const MatmulParams& p, int64_t k, int64_t j) {
  return j < p.n && k < p.k ? (p.transpose_b ? b[j * p.k + k] : b[k * p.n + j]) : 0;
}

[[maybe_unused]] __global__ void __launch_bounds__(kTileThreads)
    matmul_v1_naive(float* c, const float* a, const float* b, MatmulParams p) {
  for (int64_t s = blockIdx.z; s < p.batch; s += gridDim.z)
    for (int64_t at = global_thread(); at < p.m * p.n; at += global_threads()) {
      const int64_t i = at / p.n, j = at % p.n;
      float sum = 0;
      for (int64_t k = 0; k < p.k; ++k) sum = fmaf(load_a(a + s * p.m * p.k, p, i, k), load_b(b + s * p.k * p.n, p, k, j), sum);
      c[s * p.m * p.n + at] = sum;
    }
}

// Tiles along x: all of n for one tile of m after the other.
__global__ void __launch_bounds__(kTileThreads) matmul_v2_tiled(float* c, const float* a, const float* b, MatmulParams p) {
  struct Smem { float a[kTile][kTile + 1], b[kTile][kTile + 1]; };  // a column more: both orders without bank conflicts
  auto& s = shared<Smem>();
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  const int64_t tiles_n = ceil_div(p.n, kTile);
  const int64_t i0 = int64_t(blockIdx.x) / tiles_n * kTile, j0 = int64_t(blockIdx.x) % tiles_n * kTile;
  for (int64_t batch = blockIdx.z; batch < p.batch; batch += gridDim.z) {
    const float *ab = a + batch * p.m * p.k, *bb = b + batch * p.k * p.n;
    float sum[kRowsPerThread] = {};
    for (int64_t k0 = 0; k0 < p.k; k0 += kTile) {
#pragma unroll
      for (int r = 0; r < kTile; r += kTile / kRowsPerThread) {  // consecutive threads read consecutive addresses
        if (p.transpose_a) s.a[tx][ty + r] = load_a(ab, p, i0 + tx, k0 + ty + r);
        else s.a[ty + r][tx] = load_a(ab, p, i0 + ty + r, k0 + tx);
        if (p.transpose_b) s.b[tx][ty + r] = load_b(bb, p, k0 + tx, j0 + ty + r);
        else s.b[ty + r][tx] = load_b(bb, p, k0 + ty + r, j0 + tx);
      }
      __syncthreads();
      for (int k = 0; k < kTile; ++k) {
        const float bk = s.b[k][tx];
#pragma unroll
        for (int r = 0; r < kRowsPerThread; ++r) sum[r] = fmaf(s.a[ty + r * (kTile / kRowsPerThread)][k], bk, sum[r]);
      }
      __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
      const int64_t i = i0 + ty + r * (kTile / kRowsPerThread), j = j0 + tx;
      if (i < p.m && j < p.n) c[batch * p.m * p.n + i * p.n + j] = sum[r];
    }
  }
}

}  // namespace

void matmul_forward(Context& context, float* c, const float* a, const float* b, const MatmulParams& p) {
  if (p.batch == 0 || p.m == 0 || p.n == 0) return;
  const int64_t batches = p.batch < kMaxBatch ? p.batch : kMaxBatch, tiles = ceil_div(p.m, kTile) * ceil_div(p.n, kTile);
  launch(matmul_v2_tiled, dim3(unsigned(tiles), 1, unsigned(batches)), dim3(kTile, kTile / kRowsPerThread), 0, context, c, a, b, p);
}

GRAFT_KERNEL(matmul, forward, GRAFT_GPU, float, MatmulForward);

}  // namespace graft::GRAFT_GPU
