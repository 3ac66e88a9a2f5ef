// The SIMT loop as far as fp32 without tensor cores goes; operands in chunks of four floats at multiples of 16 bytes.
//
// A block of 256 threads makes 128 x 128 elements of c (or 64 x 64), each thread 8 x 8 (4 x 4): of 16 floats from shared
// memory it makes 64 products. Memory is read as float4; the next tile is fetched into registers while this one is
// multiplied, and two tiles in shared memory take turns, so one barrier a tile is enough. A warp is 8 threads wide and 4
// high: its reads of a and of b are one access of at most 128 bytes each.
//
// Of 601 to 628 instructions of the loop of a large tile 512 are products (sm_90a). Two blocks stand on a multiprocessor, 128
// registers a thread: what one waits for, the other hides. So tiles are 8 deep, not 16; addresses stay whole(); and the epilogue is
// a loop, not sixteen copies.
#pragma once
#include <type_traits>

#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <int kTile>
struct Vectorised {
  static constexpr int kDepth = kTile == 128 ? 8 : 16, kThreads = 256, kPer = kTile / 16;  // kPer x kPer elements a thread
  static constexpr int kLine = kTile + 4;                         // a multiple of float4 that is none of 32 banks
  static constexpr int kFetched = kTile * kDepth / 4 / kThreads;  // float4 of each operand a thread
  using Tile = float[kDepth][kLine];
  struct Smem {
    Tile a[2], b[2];
  };

  template <class C>
  static __device__ void fetch(float4 (&v)[kFetched], const C& chunks, int k0, int end) {
    chunks.for_each(k0, end, [&](int i, const float* p, bool inside) {
      v[i] = inside ? *reinterpret_cast<const float4*>(p) : make_float4(0, 0, 0, 0);
    });
  }
  // Lines of shared memory run along m or n, whatever they do in memory, so that the inner loop reads float4.
  template <class C>
  static __device__ void keep(Tile& s, const float4 (&v)[kFetched]) {
#pragma unroll
    for (int i = 0; i < kFetched; ++i) {
      const int line = C::line(i), at = C::chunk() * 4;
      if constexpr (C::kAlongK) s[at][line] = v[i].x, s[at + 1][line] = v[i].y, s[at + 2][line] = v[i].z, s[at + 3][line] = v[i].w;
      else *reinterpret_cast<float4*>(&s[line][at]) = v[i];
    }
  }
  // Elements 4 t .. 4 t + 3 of the line, or of each half of it: neighbouring threads read neighbouring float4.
  static __device__ void read(float (&v)[kPer], const float* line, int t) {
#pragma unroll
    for (int half = 0; half < kPer / 4; ++half) {
      const float4 x = *reinterpret_cast<const float4*>(line + half * (kTile / 2) + 4 * t);
      v[4 * half] = x.x, v[4 * half + 1] = x.y, v[4 * half + 2] = x.z, v[4 * half + 3] = x.w;
    }
  }
};

// Blocks on a multiprocessor. The rows of dgrad take the registers of the second, and so do sm_80's addresses.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
template <class P, int kTile>
constexpr int kBlocks = kTile == 64 || std::is_same_v<decltype(P::row), Rows> ? 2 : 1;
#else
template <class P, int kTile>
constexpr int kBlocks = kTile == 64 ? 2 : 1;
#endif

template <class P, int kTile>
__global__ void __launch_bounds__(Vectorised<kTile>::kThreads, kBlocks<P, kTile>) product_v5_vectorised(P p) {
  using V = Vectorised<kTile>;
  auto& s = shared<typename V::Smem>();
  const Corner corner = corner_of_block<kTile>(p.m, p.n);
  const int part = int(blockIdx.y);
  const int tx = int(threadIdx.x / 32 % 2 * 8 + threadIdx.x % 8), ty = int(threadIdx.x / 64 * 4 + threadIdx.x % 32 / 8);
  const int begin = part * p.k_part, end = p.k - begin < p.k_part ? p.k : begin + p.k_part;
  for (int g = int(blockIdx.z); g < p.groups; g += int(gridDim.z)) {
    const Chunks<decltype(p.a), kTile, V::kDepth, 4, V::kThreads> a(p.a, g, corner.m, p.m);
    const Chunks<decltype(p.b), kTile, V::kDepth, 4, V::kThreads> b(p.b, g, corner.n, p.n);
    float4 next_a[V::kFetched], next_b[V::kFetched];
    float sum[V::kPer][V::kPer] = {};
    V::fetch(next_a, a, begin, end);
    V::fetch(next_b, b, begin, end);
    V::template keep<decltype(a)>(s.a[0], next_a);
    V::template keep<decltype(b)>(s.b[0], next_b);
    __syncthreads();
    int now = 0;
    for (int k0 = begin; k0 < end; k0 += V::kDepth, now ^= 1) {
      const bool more = k0 + V::kDepth < end;
      if (more) {
        V::fetch(next_a, a, k0 + V::kDepth, end);
        V::fetch(next_b, b, k0 + V::kDepth, end);
      }
#pragma unroll
      for (int d = 0; d < V::kDepth; ++d) {
        float av[V::kPer], bv[V::kPer];
        V::read(av, s.a[now][d], ty);
        V::read(bv, s.b[now][d], tx);
#pragma unroll
        for (int i = 0; i < V::kPer; ++i)
#pragma unroll
          for (int j = 0; j < V::kPer; ++j) sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
      }
      if (more) {
        V::template keep<decltype(a)>(s.a[now ^ 1], next_a);
        V::template keep<decltype(b)>(s.b[now ^ 1], next_b);
      }
      __syncthreads();
    }
    // Sums go through shared memory, which unlike registers has indices: one copy of the code behind store(), not sixteen.
    auto& waiting = reinterpret_cast<float4(&)[4][V::kThreads]>(s);
    static_assert(sizeof waiting <= sizeof s);
    ColumnSums<typename P::Element, 4> sums[V::kPer / 4];
#pragma unroll
    for (int half = 0; half < V::kPer / 4; ++half) {
      const int column = corner.n + half * (kTile / 2) + 4 * tx;
#pragma unroll 1
      for (int lower = 0; lower < V::kPer / 4; ++lower) {
#pragma unroll
        for (int i = 0; i < V::kPer; ++i)
          if (i / 4 == lower)
            waiting[i % 4][threadIdx.x] =
                make_float4(sum[i][4 * half], sum[i][4 * half + 1], sum[i][4 * half + 2], sum[i][4 * half + 3]);
#pragma unroll 1
        for (int i = 0; i < 4; ++i) {
          const int row = corner.m + lower * (kTile / 2) + 4 * ty + i;
          if (row >= p.m || column >= p.n) continue;
          const float4 x = waiting[i][threadIdx.x];
          float v[4] = {x.x, x.y, x.z, x.w};
          p.store(part, g, row, column, v);
          if (p.statistics) sums[half].add(v);
        }
      }
    }
    __syncthreads();
    if (p.statistics) {
      auto& all = reinterpret_cast<ColumnSumsSmem<kTile, 16>&>(s);
      static_assert(sizeof all <= sizeof s);
#pragma unroll
      for (int half = 0; half < V::kPer / 4; ++half) all.keep(ty, half * (kTile / 2) + 4 * tx, sums[half]);
      __syncthreads();
      all.store(p, g, corner.m, corner.n, int(threadIdx.x), V::kThreads);
      __syncthreads();
    }
  }
}

template <class P>
void run_vectorised(Context& context, const P& p, SplitK split) {
  const Cut cut = cut_of(p, Vectorised<64>::kDepth, split);
  const auto kernel = cut.tile == 128 ? product_v5_vectorised<P, 128> : product_v5_vectorised<P, 64>;
  launch_product(context, kernel, Vectorised<128>::kThreads, 0, p, cut);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
