// The tile loop that accepts everything: elements are fetched one by one, so no address needs to be aligned.
//
// A block of 16 x 16 threads makes 64 x 64 outputs, 4 x 4 in the registers of each thread, 16 values of k at a time
// through shared memory: every value loaded serves 64 products.
#pragma once
#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTile = 64, kDepth = 16;

struct TileSmem {
  float a[kDepth][kTile + 1], b[kDepth][kTile + 1];  // + 1: writing along k meets every bank
};

template <class C, class T>
__device__ void fetch_tile(float (&s)[kDepth][kTile + 1], const C& chunks, int k0, int end) {
  chunks.for_each(k0, end, [&](int i, const T* p, bool inside) {
    const float v = inside ? to_float(*p) : 0.0f;
    if constexpr (C::kAlongK) s[C::chunk()][C::line(i)] = v;
    else s[C::line(i)][C::chunk()] = v;
  });
}

template <class P>
__global__ void __launch_bounds__(kThreads, 2) tile_product_v1(P p) {
  using T = typename P::Element;
  auto& s = shared<TileSmem>();
  const Corner corner = corner_of_block<kTile>(p.m, p.n);
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16, part = int(blockIdx.y);
  const int begin = part * p.k_part, end = p.k - begin < p.k_part ? p.k : begin + p.k_part;
  for (int g = int(blockIdx.z); g < p.groups; g += int(gridDim.z)) {
    const Chunks<decltype(p.a), kTile, kDepth, 1, kThreads> a(p.a, g, corner.m, p.m);
    const Chunks<decltype(p.b), kTile, kDepth, 1, kThreads> b(p.b, g, corner.n, p.n);
    float sum[4][4] = {};
    for (int k0 = begin; k0 < end; k0 += kDepth) {
      fetch_tile<decltype(a), T>(s.a, a, k0, end);
      fetch_tile<decltype(b), T>(s.b, b, k0, end);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        float av[4], bv[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) av[i] = s.a[k][ty + 16 * i], bv[i] = s.b[k][tx + 16 * i];
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
      }
      __syncthreads();
    }
    ColumnSums<T, 1> sums[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = corner.m + ty + 16 * i, column = corner.n + tx + 16 * j;
        float v[1] = {sum[i][j]};
        if (row >= p.m || column >= p.n) continue;
        p.store(part, g, row, column, v);
        if (p.statistics) sums[j].add(v);
      }
    if (p.statistics) {
      auto& all = reinterpret_cast<ColumnSumsSmem<kTile, 16>&>(s);
      static_assert(sizeof all <= sizeof s);
#pragma unroll
      for (int j = 0; j < 4; ++j) all.keep(ty, tx + 16 * j, sums[j]);
      __syncthreads();
      all.store(p, g, corner.m, corner.n, int(threadIdx.x), kThreads);
      __syncthreads();
    }
  }
}

template <class P>
void run_tile(Context& context, const P& p, SplitK split) {
  launch_product(context, tile_product_v1<P>, kThreads, 0, p, cut_of(p, kDepth, split, kTile));
}

}  // namespace
}  // namespace graft::GRAFT_GPU
