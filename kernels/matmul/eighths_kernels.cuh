// Version 9 of matmul and linear: persistent.cuh where lines of any length are left as they are. The logits of 50257 words are 0.8
// GB at batch 8 of GPT-2: version 8 copies their gradient twice, and stores them two bytes at a time.
//
//   eighths   lines e, e + 8, e + 16, .. of a matrix of bf16 are 8 line 2 bytes apart, a multiple of 16 whatever the line: each
//             eighth is a tensor that TMA takes. It begins at the 16 bytes before its first element, and its columns are counted
//             from there: coordinates need no alignment
//   rows      of a tile are taken eighth by eighth: 16 lines 8 apart, then the next. Those are the 16 rows of a warp, which
//             stores them by the map of its eighth. For c and for an a along k: logits, and what their gradient is multiplied with
//             on the left
//   lines of k   of both operands in that order where both lie along their outer indices: the sum is the same (weight gradients)
// Emulated only: no GPU has run these kernels yet.
#include "kernels/matmul/persistent.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kEighths = 8;

bool aligned(const BFloat16* x, int64_t line) { return is_aligned_16(x) && line % kVector<BFloat16> == 0; }

// `lines` lines of `line` values; boxes of 64 columns by kRows lines of an eighth. Where the matrix is aligned and eight divides
// it, one map has them all, the eighths its third dimension, `together` of them in a box: descriptors are fetched, and instructions
// issued, by a single thread.
template <int kRows>
struct EighthsOf {
  TensorMap of[kEighths];
  int first[kEighths];  // column 0
  bool whole;

  EighthsOf(const BFloat16* x, int64_t lines, int64_t line, int together) : whole(aligned(x, line) && lines % kEighths == 0) {
    for (int e = 0; e < kEighths; ++e) {
      const BFloat16* const start = x + e * line;
      first[e] = int(reinterpret_cast<uintptr_t>(start) % 16 / 2);
      of[e] = tensor_map(TiledTensor{start - first[e],
                                     DType::bf16,
                                     2,
                                     {line + first[e], ceil_div(lines - e, kEighths)},
                                     {2 * kEighths * line},
                                     {64, kRows},
                                     Swizzle::b128});
    }
    if (whole)
      of[0] = tensor_map(TiledTensor{x,
                                     DType::bf16,
                                     3,
                                     {line, lines / kEighths, kEighths},
                                     {2 * kEighths * line, 2 * line},
                                     {64, kRows, together},
                                     Swizzle::b128});
  }
  // All eighths, one behind the other; `row` counts lines of an eighth.
  __device__ void load(BFloat16* tile, uint64_t* full, int column, int row) const {
    if (whole) return tma_load(tile, of[0], full, column, row, 0);
#pragma unroll 1  // the producer has 40 registers
    for (int e = 0; e < kEighths; ++e) tma_load(tile + e * kRows * 64, of[e], full, column + first[e], row);
  }
  __device__ void store(const BFloat16* box, int column, int row, int e) const {
    if (whole) tma_store(of[0], box, column, row, e);
    else tma_store(of[e], box, column + first[e], row);
  }
};

// Rows of a and of c by eighths.
template <Along kB, int kTileN>
struct RowMaps {
  static constexpr int kRows = kTileM / kEighths;  // of an eighth: those of a warp
  static_assert(kRows == 16);
  EighthsOf<kRows> a, c;
  TensorMap b;

  __device__ void load_a(BFloat16* tile, uint64_t* full, int m, int k, int) const { a.load(tile, full, k, m / kEighths); }
  __device__ void load_b(BFloat16* tile, uint64_t* full, int n, int k, int g, int rank) const {
    load_half<kB, kTileN>(tile, n, k, g, rank, [&](BFloat16* to, auto... at) { tma_load_multicast(to, b, full, 3, at...); });
  }
  template <class P>
  __device__ bool stores(const P&) const {
    return true;
  }
  static constexpr bool kResidual = false;
  __device__ void store(const BFloat16* box, int n, int m, int slice, int) const { c.store(box, n, m / kEighths, slice); }
  static __device__ int row(int m, int slice, int i) { return m + slice + kEighths * i; }
};

// Lines of k by eighths, eight of each in a tile; those of b are aligned, and a block of a pair loads four eighths of them.
template <int kTileN>
struct LineMaps {
  static constexpr int kLines = kPerLine<BFloat16> / kEighths;
  EighthsOf<kLines> a;
  TensorMap b, c;

  __device__ void load_a(BFloat16* tile, uint64_t* full, int m, int k, int) const {
#pragma unroll
    for (int i = 0; i < kTileM / 64; ++i) a.load(tile + i * 64 * 64, full, m + 64 * i, k / kEighths);
  }
  __device__ void load_b(BFloat16* tile, uint64_t* full, int n, int k, int, int rank) const {
#pragma unroll
    for (int i = 0; i < kTileN / 64; ++i)
      tma_load_multicast(tile + (i * 64 + rank * 32) * 64, b, full, 3, n + 64 * i, k / kEighths, rank * kEighths / 2);
  }
  template <class P>
  __device__ bool stores(const P& p) const {
    return p.vectors;
  }
  static constexpr bool kResidual = false;
  __device__ void store(const BFloat16* box, int n, int m, int slice, int) const { tma_store(c, box, n, m + 16 * slice); }
  static __device__ int row(int m, int slice, int i) { return m + 16 * slice + i; }
};

template <int kTileN, class P>
void run_rows(Context& context, const P& p, const MatmulParams& shape) {
  using Maps = RowMaps<decltype(p.b)::kAlong, kTileN>;
  run_persistent<kTileN>(
      context, p, shape,
      Maps{{p.a.x, p.m, p.a.line, kEighths}, {p.c, p.m, p.row.line, 1}, half_map<kTileN>(p.b, p.n, p.k, p.groups)});
}
template <int kTileN, class P>
void run_lines(Context& context, const P& p, const MatmulParams& shape) {
  using Maps = LineMaps<kTileN>;
  const int64_t line = 2 * p.b.line;
  const TensorMap b = tensor_map(TiledTensor{p.b.x,
                                             DType::bf16,
                                             3,
                                             {p.n, p.k / kEighths, kEighths},
                                             {kEighths * line, line},
                                             {64, Maps::kLines, kEighths / 2},
                                             Swizzle::b128});
  const TensorMap c =
      p.vectors ? tensor_map(TiledTensor{p.c, DType::bf16, 2, {p.n, p.m}, {2 * p.row.line}, {64, 16}, Swizzle::b128}) : TensorMap{};
  run_persistent<kTileN>(context, p, shape, Maps{{p.a.x, p.k, p.a.line, kEighths}, b, c});
}

}  // namespace

// One matrix with lines that version 8 would copy or store slowly, in a or c; b is aligned.
bool supports_eighths(const MatrixProduct<BFloat16>& p) {
  const MatmulParams& s = p.shape;
  if (!fits_persistent(p) || s.batch != 1 || !aligned(p.b, p.b_line())) return false;
  if (!s.transpose_a) return !aligned(p.a, p.a_line()) || !aligned(p.c, s.n);
  return !s.transpose_b && !aligned(p.a, p.a_line()) && s.k % kEighths == 0;
}
void eighths_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_operands(p, [&]<class P>(const P& product) {
    constexpr Along kA = decltype(product.a)::kAlong, kB = decltype(product.b)::kAlong;
    with_tile(p.shape, 256, [&]<int kTileN>() {
      if constexpr (kA == Along::k) run_rows<kTileN>(context, product, p.shape);
      else if constexpr (kB == Along::outer) run_lines<kTileN>(context, product, p.shape);
    });
  });
}

}  // namespace graft::GRAFT_GPU
