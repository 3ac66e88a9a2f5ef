// Tiles of bf16 rows in shared memory and the fragments that mma.sync takes from them, for version 3 forward and backward.
//
// A row is cut into chunks of 16 bytes, and the chunks of a row are permuted by xor with its number: the eight chunks that
// ldmatrix takes from eight rows lie in eight different groups of four banks, whether the rows are read as they are or .trans.
// What mma returns of a product of scores, d[0..1] at (g, 2t..) and d[2..3] at (g + 8, 2t..), is what it takes as the a fragment
// of the next product, two tiles of 8 columns making 16 of k: P never leaves the registers.
#pragma once
#include "kernels/attention/heads.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kMmaWarps = 4, kMmaThreads = 32 * kMmaWarps;

// Masks in 32 bits: row r sees [r + below, r + above) of [0, count). Many 64-bit bounds would cost the accumulators their
// registers.
struct Span {
  int begin, end;
};
struct Band {
  int below, above, count;

  __device__ Span seen(int row) const {
    const int end = max(0, min(count, row + above));
    return {min(end, max(0, row + below)), end};
  }
};
constexpr int kFar = 1 << 29;  // beyond any row; supports_mma keeps rows below
template <Rows kRows>
__device__ Band band(const AttentionParams& p, int64_t count) {
  const int window = int(p.window < kFar ? p.window : kFar), level = int(p.keys - p.queries);
  if constexpr (kRows == Rows::queries)
    return {window ? level - window + 1 : -kFar, p.causal ? level + 1 : window ? level + window : kFar, int(count)};
  else return {p.causal ? -level : window ? 1 - level - window : -kFar, window ? window - level : kFar, int(count)};
}

// What the rows [first, end) of a warp see: any of them `outer`, all of them `inner`.
struct WarpView {
  Span outer{0, 0}, inner{0, 0};

  __device__ WarpView(const Band& band, int first, int end) {
    if (first >= end) return;
    const Span a = band.seen(first), b = band.seen(end - 1);  // begin and end grow with the row
    outer = {a.begin, b.end}, inner = {b.begin, a.end};
  }
  __device__ bool nothing_in(int at, int n) const { return at + n <= outer.begin || at >= outer.end; }
  __device__ bool everything_in(int at, int n) const { return at >= inner.begin && at + n <= inner.end; }
};

template <int kDim>
struct MmaTile {
  static constexpr int kChunks = kDim / 8;

  static __device__ int place(int row, int chunk) {
    const int swizzle = kChunks >= 8 ? row & 7 : row >> 1 & 3;  // of 64-byte rows two share the 32 banks
    return (row * kChunks + (chunk ^ swizzle)) * 8;
  }

  // Rows [t0, t0 + kRows) of a head by cp.async, zeros from `end` on.
  template <int kRows>
  static __device__ void load(BFloat16* s, const Head<const BFloat16>& head, int t0, int end) {
    constexpr int kRowsAtOnce = kMmaThreads / kChunks;
    static_assert(kRowsAtOnce % 8 == 0, "one swizzle a thread");
    const int row = int(threadIdx.x) / kChunks, chunk = int(threadIdx.x) % kChunks, left = end - t0;
    const BFloat16* from = head.row(t0 + row) + chunk * 8;
    BFloat16* to = s + place(row, chunk);
#pragma unroll
    for (int i = 0; i < kRows; i += kRowsAtOnce) {
      copy_async_16(to + i * kDim, from + i * head.step, row + i < left);
    }
  }

  // Four matrices of 8 rows by 8 features: rows row and row + 8 at feature f, then at f + 8. As they lie, that is a of 16 rows;
  // r[0], r[2] are b of a product over the features with columns row .. row + 7, r[1], r[3] with the next eight. Transposed,
  // r[0..1] are b of a product over the rows with columns f .. f + 7, r[2..3] with the next eight. One address serves them all.
  static __device__ const BFloat16* corner(const BFloat16* s, int row, int f) {
    const int lane = int(threadIdx.x) % 32;
    return s + (place(lane % 16, lane / 16) ^ f) + row * kDim;  // f and row are constants: one register
  }

  // d[m][n]: rows row + 16 m by columns 8 n, += a's rows times b's rows.
  template <int kM, int kN>
  static __device__ void add_scores(float (&d)[kM][kN][4], const BFloat16* a, int row, const BFloat16* b) {
#pragma unroll 2  // all unrolled, the addresses of every step would be kept in registers
    for (int f = 0; f < kDim; f += 16) {
      uint32_t fa[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m) ldmatrix(fa[m], corner(a, row + 16 * m, f));
      add_step(d, fa, b, f);
    }
  }
  template <int kM, int kN>
  static __device__ void add_step(float (&d)[kM][kN][4], const uint32_t (&fa)[kM][4], const BFloat16* b, int f) {
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t fb[4];
      ldmatrix(fb, corner(b, 8 * n, f));
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        mma_bf16(d[m][n], fa[m], fb[0], fb[2]);
        mma_bf16(d[m][n + 1], fa[m], fb[1], fb[3]);
      }
    }
  }

  // d += weight b: weights as the scores lie, rounded to bf16, times the rows of b.
  template <int kM, int kN>
  static __device__ void add_weighted(float (&d)[kM][kDim / 8][4], const float (&weight)[kM][kN][4], const BFloat16* b) {
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t fa[kM][4];
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) fa[m][i] = pack_bf16(weight[m][n + i / 2][i % 2 * 2], weight[m][n + i / 2][i % 2 * 2 + 1]);
#pragma unroll
      for (int f = 0; f < kDim; f += 16) {
        uint32_t fb[4];
        ldmatrix_trans(fb, corner(b, 8 * n, f));
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          mma_bf16(d[m][f / 8], fa[m], fb[0], fb[1]);
          mma_bf16(d[m][f / 8 + 1], fa[m], fb[2], fb[3]);
        }
      }
    }
  }

  // value(m, n, e) of the warp's rows, from row `row` of the tile on, by way of their place in shared memory to rows [t0 + row,
  // end) of a head: a lane then writes 16 bytes, and neighbours write neighbours.
  template <int kM, class F>
  static __device__ void store(const Head<BFloat16>& head, int t0, int end, BFloat16* s, int row, F value) {
    const int lane = recomputed(int(threadIdx.x) % 32), g = lane / 4, t = lane % 4;
    __syncwarp();
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int n = 0; n < kChunks; ++n)
          *reinterpret_cast<uint32_t*>(s + place(row + 16 * m + 8 * half + g, n) + 2 * t) =
              pack_bf16(value(m, n, 2 * half), value(m, n, 2 * half + 1));
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 16 * kM * kChunks / 32; ++i) {
      const int at = lane + 32 * i, r = row + at / kChunks, chunk = at % kChunks;
      if (t0 + r < end)
        *reinterpret_cast<uint4*>(head.row(t0 + r) + chunk * 8) = *reinterpret_cast<const uint4*>(s + place(r, chunk));
    }
  }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
