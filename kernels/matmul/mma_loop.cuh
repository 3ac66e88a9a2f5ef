// The tensor-core loop by mma.sync: bf16 tensors, or fp32 tensors rounded to tf32; sums in fp32. Operands in chunks of 16
// aligned bytes.
//
// A block of 8 warps makes 128 x 128 elements of c, a warp 64 x 32 as 4 x 4 products of 16 x 8 (or 4 warps 64 x 64, a warp
// 32 x 32). What it teaches:
//   cp.async   three tiles of 128 bytes of k are in flight or in use; one barrier a tile: behind it every thread's share of
//              the tile has arrived, and everybody is done with the one that is filled next. A chunk may come from anywhere
//              (operand.cuh), so the patches of a convolution are gathered at no other cost than that of their addresses
//   swizzle    tiles lie as in memory, lines along k or along m (n), but the 16-byte chunks of line r are permuted by xor:
//              the eight chunks that ldmatrix takes from eight lines then lie in eight different groups of four banks
//   ldmatrix   delivers fragments in mma's layout; .trans turns lines along m (n) into fragments along k for free. It moves
//              pairs of 16 bits: tf32 lines along m (n) are read value by value, with a swizzle that keeps that conflict-free
//   epilogue   the sums go through shared memory, because a warp holds 16 bytes of eight rows where memory wants whole lines
//
// Error, element by element, u = 2^-11 for tf32 and 0 for bf16 (inputs are what they are):
//   |c - exact| <= (2 u + u^2 + (k + 4) 2^-23) sum |a| |b|, and 2^-8 |c| more where c is stored as bf16:
// each input is rounded once, products are exact, and each addition is taken to lose one unit of 2^-23, rounded or cut.
#pragma once
#include "kernels/common/ptx.h"
#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T, int kTile>
struct Mma {
  static constexpr int kChunk = kVector<T>;       // elements of 16 bytes
  static constexpr int kDepth = 128 / sizeof(T);  // of k in a tile
  static constexpr int kStep = 2 * kChunk;        // of k in an instruction
  static constexpr int kStage = kTile * kDepth;   // elements of an operand
  static constexpr int kStages = 3;
  static constexpr int kWarpM = kTile / 2, kWarpN = 32, kThreads = kTile * 2;
  static constexpr int kOutLine = kTile + 8;  // floats; + 8: the rows of half a warp meet all banks
  static constexpr size_t kShared = sizeof(T) * 2 * kStage * kStages;
  static constexpr bool kPairs = sizeof(T) == 2;
  static_assert(kShared >= sizeof(float) * kTile * kOutLine);
};

// A tile of an operand in shared memory: kTile of m or n ("outer") by kDepth of k.
template <class T, int kTile, class C>
struct OperandTile : Mma<T, kTile> {
  using M = Mma<T, kTile>;

  static __device__ int place(int line, int chunk) {
    const int swizzle = C::kAlongK || M::kPairs ? line & 7 : (line & 3) << 1;
    return (line * C::kPerLine + (chunk ^ swizzle)) * M::kChunk;
  }

  static __device__ void fill(T* s, const C& chunks, const T* anywhere, int k0, int end) {
    chunks.for_each(k0, end, [&](int i, const T* p, bool inside) {
      copy_async_16(s + place(C::line(i), C::chunk()), inside ? p : anywhere, inside);
    });
  }

  // Four quarters of 8 outer by one chunk of k, in the order of an a fragment (outer first) or of the b fragments of two
  // neighbouring 8 columns (k first).
  template <bool kOuterFirst>
  static __device__ void fragments(uint32_t (&r)[4], const T* s, int outer, int k) {
    const int lane = int(threadIdx.x) % 32;
    if constexpr (C::kAlongK || M::kPairs) {
      const int quarter = lane / 8, j = lane % 8;
      const int o = outer + (kOuterFirst ? quarter % 2 : quarter / 2) * 8;
      const int kq = k + (kOuterFirst ? quarter / 2 : quarter % 2) * M::kChunk;
      if constexpr (C::kAlongK) ldmatrix(r, s + place(o + j, kq / M::kChunk));
      else ldmatrix_trans(r, s + place(kq + j, o / M::kChunk));
    } else {
      const int g = lane / 4, t = lane % 4;
#pragma unroll
      for (int quarter = 0; quarter < 4; ++quarter) {
        const int o = outer + (kOuterFirst ? quarter % 2 : quarter / 2) * 8 + g;
        const int kq = k + (kOuterFirst ? quarter / 2 : quarter % 2) * M::kChunk + t;
        r[quarter] = uint32_t(__float_as_int(s[place(kq, o / M::kChunk) + o % M::kChunk]));
      }
    }
    if constexpr (!M::kPairs) {
#pragma unroll
      for (int i = 0; i < 4; ++i) r[i] = to_tf32(__int_as_float(int(r[i])));
    }
  }
};

template <class T>
__device__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (sizeof(T) == 2) mma_bf16(d, a, b0, b1);
  else mma_tf32(d, a, b0, b1);
}

template <class P, int kTile>
__global__ void __launch_bounds__(2 * kTile, kTile == 64 ? 2 : 1) product_v6_mma(P p) {
  using T = typename P::Element;
  using M = Mma<T, kTile>;
  using ChunksA = Chunks<decltype(p.a), kTile, M::kDepth, M::kChunk, M::kThreads>;
  using ChunksB = Chunks<decltype(p.b), kTile, M::kDepth, M::kChunk, M::kThreads>;
  using A = OperandTile<T, kTile, ChunksA>;
  using B = OperandTile<T, kTile, ChunksB>;
  T* const tiles = dynamic_shared<T>();
  const auto tile_a = [=](int step) { return tiles + step % M::kStages * (2 * M::kStage); };
  const auto tile_b = [=](int step) { return tiles + step % M::kStages * (2 * M::kStage) + M::kStage; };
  const Corner corner = corner_of_block<kTile>(p.m, p.n);
  const int part = int(blockIdx.y), begin = part * p.k_part, end = p.k - begin < p.k_part ? p.k : begin + p.k_part;
  const int steps = (end - begin + M::kDepth - 1) / M::kDepth;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int warp_m = warp / (kTile / M::kWarpN) * M::kWarpM, warp_n = warp % (kTile / M::kWarpN) * M::kWarpN;
  for (int g = int(blockIdx.z); g < p.groups; g += int(gridDim.z)) {
    const ChunksA a(p.a, g, corner.m, p.m);
    const ChunksB b(p.b, g, corner.n, p.n);
    const auto fill = [&](int step) {
      if (step < steps) {
        A::fill(tile_a(step), a, p.a.x, begin + step * M::kDepth, end);
        B::fill(tile_b(step), b, p.b.x, begin + step * M::kDepth, end);
      }
      copy_async_commit();  // also an empty group: the count of the wait below stays right
    };
    float sum[M::kWarpM / 16][M::kWarpN / 8][4] = {};
    for (int step = 0; step < M::kStages - 1; ++step) fill(step);
    for (int step = 0; step < steps; ++step) {
      copy_async_wait<M::kStages - 2>();
      __syncthreads();
      fill(step + M::kStages - 1);
      const T *sa = tile_a(step), *sb = tile_b(step);
#pragma unroll(M::kPairs ? M::kDepth / M::kStep : 1)  // unrolled, the addresses of tf32's single values would not fit in registers
      for (int kk = 0; kk < M::kDepth; kk += M::kStep) {
        uint32_t fa[M::kWarpM / 16][4], fb[M::kWarpN / 16][4];
#pragma unroll
        for (int i = 0; i < M::kWarpM / 16; ++i) A::template fragments<true>(fa[i], sa, warp_m + 16 * i, kk);
#pragma unroll
        for (int j = 0; j < M::kWarpN / 16; ++j) B::template fragments<false>(fb[j], sb, warp_n + 16 * j, kk);
#pragma unroll
        for (int i = 0; i < M::kWarpM / 16; ++i)
#pragma unroll
          for (int j = 0; j < M::kWarpN / 8; ++j) multiply<T>(sum[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
      }
    }
    copy_async_wait<0>();
    __syncthreads();  // slower warps still read the last tile
    float* const out = reinterpret_cast<float*>(tiles);
#pragma unroll
    for (int i = 0; i < M::kWarpM / 16; ++i)
#pragma unroll
      for (int j = 0; j < M::kWarpN / 8; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = warp_m + 16 * i + 8 * half + lane / 4, column = warp_n + 8 * j + lane % 4 * 2;
          *reinterpret_cast<float2*>(out + row * M::kOutLine + column) = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
        }
    __syncthreads();
    constexpr int kPerRow = kTile / M::kChunk, kSlots = M::kThreads / kPerRow;  // chunks; rows of all threads
    const int slot = int(threadIdx.x) / kPerRow, column = int(threadIdx.x) % kPerRow * M::kChunk;
    ColumnSums<T, M::kChunk> sums;
    for (int row = slot; row < kTile; row += kSlots) {
      if (corner.m + row >= p.m || corner.n + column >= p.n) continue;
      float v[M::kChunk];
      load(v, out + row * M::kOutLine + column);
      p.store(part, g, corner.m + row, corner.n + column, v);
      if (p.statistics) sums.add(v);
    }
    __syncthreads();  // the next group fills the tiles
    if (p.statistics) {
      auto& all = *reinterpret_cast<ColumnSumsSmem<kTile, kSlots>*>(tiles);
      static_assert(sizeof all <= M::kShared);
      all.keep(slot, column, sums);
      __syncthreads();
      all.store(p, g, corner.m, corner.n, int(threadIdx.x), M::kThreads);
      __syncthreads();
    }
  }
}

template <class P>
void run_mma(Context& context, const P& p, SplitK split) {
  using T = typename P::Element;
  const Cut cut = cut_of(p, Mma<T, 128>::kDepth, split);
  if (cut.tile == 128) launch_product(context, product_v6_mma<P, 128>, Mma<T, 128>::kThreads, Mma<T, 128>::kShared, p, cut);
  else launch_product(context, product_v6_mma<P, 64>, Mma<T, 64>::kThreads, Mma<T, 64>::kShared, p, cut);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
