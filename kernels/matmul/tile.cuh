// One shared-memory tile loop behind linear and conv2d: c[m, n] = sum over k of a(m, k) b(k, n), where a problem says how
// an element is found. An implicit GEMM is a problem whose a or b is a convolution's patch: nothing is unfolded in memory.
//
// A block of 16 x 16 threads makes 64 x 64 outputs, 4 x 4 in the registers of each thread, 16 values of k at a time
// through shared memory: every value loaded serves 64 products.
//
// A problem has sizes groups, m, n, k and
//   a_row(g, m), a_k(g, k) -> what an index means, worked out once;   a(row, k) -> value;   kAAlongK: neighbours in memory
//   b_column(g, n), b_k(g, k), b(column, k), kBAlongK             likewise
//   store(g, m, n, sum)
#pragma once
#include "kernels/common/launch.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTile = 64, kDepth = 16;

struct TileSmem {
  float a[kDepth][kTile + 1], b[kDepth][kTile + 1];  // + 1: writing along k meets every bank
};

template <class Problem>
__global__ void __launch_bounds__(kThreads) tile_product_v1(Problem p) {
  auto& s = shared<TileSmem>();
  const int64_t columns = (p.n + kTile - 1) / kTile, rows = (p.m + kTile - 1) / kTile;
  const int64_t g = blockIdx.x / (rows * columns), m0 = blockIdx.x / columns % rows * kTile, n0 = blockIdx.x % columns * kTile;
  const int tid = threadIdx.x, tx = tid % 16, ty = tid / 16;
  // Which four elements of each tile this thread loads: neighbours in memory by neighbours in the warp.
  const int along = tid % 16, across = tid / 16, line = tid % 64, step = tid / 64;

  float sum[4][4] = {};
  for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
    if constexpr (Problem::kAAlongK) {
      const bool inside = k0 + along < p.k;
      const auto k = p.a_k(g, inside ? k0 + along : 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t m = m0 + across + 16 * i;
        s.a[along][across + 16 * i] = inside && m < p.m ? p.a(p.a_row(g, m), k) : 0.0f;
      }
    } else {
      const bool inside = m0 + line < p.m;
      const auto row = p.a_row(g, inside ? m0 + line : 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t k = k0 + step + 4 * i;
        s.a[step + 4 * i][line] = inside && k < p.k ? p.a(row, p.a_k(g, k)) : 0.0f;
      }
    }
    if constexpr (Problem::kBAlongK) {
      const bool inside = k0 + along < p.k;
      const auto k = p.b_k(g, inside ? k0 + along : 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t n = n0 + across + 16 * i;
        s.b[along][across + 16 * i] = inside && n < p.n ? p.b(p.b_column(g, n), k) : 0.0f;
      }
    } else {
      const bool inside = n0 + line < p.n;
      const auto column = p.b_column(g, inside ? n0 + line : 0);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t k = k0 + step + 4 * i;
        s.b[step + 4 * i][line] = inside && k < p.k ? p.b(column, p.b_k(g, k)) : 0.0f;
      }
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float a[4], b[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = s.a[k][ty + 16 * i], b[i] = s.b[k][tx + 16 * i];
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t m = m0 + ty + 16 * i, n = n0 + tx + 16 * j;
      if (m < p.m && n < p.n) p.store(g, m, n, sum[i][j]);
    }
}

template <class Problem>
void tile_product(Context& context, const Problem& p) {
  const int64_t blocks = p.groups * ((p.m + kTile - 1) / kTile) * ((p.n + kTile - 1) / kTile);
  launch_blocks(context, blocks, kThreads, tile_product_v1<Problem>, p);
}

// dy through a fused relu: it counts where y > 0 or y is NaN. y null: no relu.
struct MaskedGradient {
  const float *dy, *y;
  __device__ float operator()(int64_t i) const { return y && y[i] <= 0.0f ? 0.0f : dy[i]; }
};

// bias[c] (0 where null) added, then relu where asked for; NaN stays.
struct Epilogue {
  const float* bias;
  bool relu;
  __device__ float operator()(float v, int64_t c) const {
    if (bias) v += bias[c];
    return relu && v < 0.0f ? 0.0f : v;
  }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
