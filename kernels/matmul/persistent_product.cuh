// Version 8 of matmul, linear and conv2d, on Hopper: what its tiles are (TileMaps), which size of them takes the least time, and
// the launch of persistent.cuh.
#pragma once
#include <algorithm>
#include <optional>

#include "kernels/matmul/persistent.cuh"

namespace graft::GRAFT_GPU {
namespace {

// Work items, each for a pair of blocks.
inline int64_t items_of(const MatmulParams& s, int tile) { return s.batch * ceil_div(s.m, 2 * kTileM) * ceil_div(s.n, tile); }

// In units of a tile of 128 x 128 by 64 of k, some 0.28 us on an H200: rounds of tiles, and what an epilogue takes.
inline double rounds_cost(const MatmulParams& s, int tile) {
  const double steps = double(ceil_div(s.k, kPerLine<BFloat16>));
  return double(ceil_div(items_of(s, tile), kPairs)) * (steps * tile / 128 + (tile == 256 ? 9 : 3 + 2 * tile / 128));
}

// What a residual, or statistics, leaves room for.
inline int largest_tile(const void* residual, const void* statistics) { return residual || statistics ? kLargestSummed : 256; }
inline double least_cost(const MatmulParams& s, int largest) {
  return std::min({rounds_cost(s, 128), rounds_cost(s, 192), rounds_cost(s, largest)});
}

// f.operator()<columns of a tile>(), the number that takes the least time.
template <class F>
void with_tile(const MatmulParams& shape, int largest, F f) {
  int tile = largest;
  for (int other : {192, 128})
    if (other < largest && rounds_cost(shape, other) < rounds_cost(shape, tile)) tile = other;
  if (tile == 256) f.template operator()<256>();
  else if (tile == 192) f.template operator()<192>();
  else f.template operator()<128>();
}

// Statistics of sums without a residual: beside one there are no registers left for them.
inline bool statistics_fit(const void* statistics, const void* residual, Activation f) {
  return !statistics || !(residual || f == Activation::gelu);
}

// More than one row of tiles for a pair of blocks, and where k might be cut into parts (version 7), no more time than that takes:
// its tiles are 128 x 128, all parts are stored as floats and read again.
inline bool fits_persistent(const MatrixProduct<BFloat16>& p) {
  const MatmulParams& s = p.shape;
  if (!fits_wgmma(p) || s.m <= kTileM || !statistics_fit(p.statistics, p.residual, p.activation)) return false;
  const Parts parts = parts_of_k(s.batch, s.m, s.n, s.k, kPerLine<BFloat16>, p.split);
  return parts.count == 1 || least_cost(s, 256) <= parts.cost;
}

// The half of a tile of b that block `rank` loads, for both: half of its columns where lines run along k, else half of its lines.
template <int kTileN, Along kAlong>
__device__ void load_half(const Lines<BFloat16, kAlong>&, BFloat16* tile, int n, int k, int g, int rank, const TensorMap& map,
                          uint64_t* full) {
  constexpr int kLength = kPerLine<BFloat16>, kHalf = kTileN / 2;
  if constexpr (kAlong == Along::k) {
    tma_load_multicast(tile + rank * kHalf * kLength, map, full, 3, k, n + rank * kHalf, g);
  } else {
#pragma unroll
    for (int i = 0; i < kTileN / kLength; ++i)
      tma_load_multicast(tile + (i * kLength + rank * kLength / 2) * kLength, map, full, 3, n + kLength * i, k + rank * kLength / 2,
                         g);
  }
}
template <int kTileN, Along kAlong>
TensorMap half_map(const Lines<BFloat16, kAlong>& o, int outers, int k, int groups) {
  constexpr bool kAlongK = kAlong == Along::k;
  constexpr int kLength = kPerLine<BFloat16>;
  return tensor_map(TiledTensor{o.x,
                                DType::bf16,
                                3,
                                {kAlongK ? k : outers, kAlongK ? outers : k, groups},
                                {2 * o.line, 2 * o.group},
                                {kLength, kAlongK ? kTileN / 2 : kLength / 2, 1},
                                Swizzle::b128});
}

// Tiles of a by load_tile(), of b by load_half() of their operands. Rows of c by TMA where they are lines of whole vectors.
template <class A, class B, int kTileN>
struct TileMaps {
  TensorMap a, b, c, residual;
  bool by_tma;  // c and residual: else by threads
  // Of a linear layer, and of the input gradient of a convolution, where the boxes of a warp hold its part of a tile.
  static constexpr bool kResidual = A::kAlong == Along::k && kBoxesOf<kTileN> == kTileN / 64;

  __device__ void load_a(const A& of, BFloat16* tile, uint64_t* full, int m, int k, int g) const {
    load_tile<kTileM>(of, tile, m, k, g, a, full);
  }
  __device__ void load_b(const B& of, BFloat16* tile, uint64_t* full, int n, int k, int g, int rank) const {
    load_half<kTileN>(of, tile, n, k, g, rank, b, full);
  }
  __device__ void store(const BFloat16* box, int n, int m, int slice, int g) const { tma_store(c, box, n, m + 16 * slice, g); }
  __device__ void load_residual(BFloat16* box, uint64_t* full, int n, int m, int slice, int g) const {
    tma_load(box, residual, full, n, m + 16 * slice, g);
  }
  static __device__ int row(int m, int slice, int i) { return m + 16 * slice + i; }
};

template <class P>
MatmulParams shape_of(const P& p) {
  return {p.groups, p.m, p.n, p.k};
}

// Rows of c as lines, where they are.
inline std::optional<Rows> as_lines(const Rows& rows) { return rows; }

template <int kTileN, class P>
void run_v8(Context& context, const P& p) {
  using Maps = TileMaps<decltype(p.a), decltype(p.b), kTileN>;
  const std::optional<Rows> rows = as_lines(p.row);
  const bool by_tma = p.vectors && rows.has_value();
  const auto like_c = [&](const BFloat16* x) {
    return by_tma && x
               ? tensor_map(TiledTensor{
                     x, DType::bf16, 3, {p.n, p.m, p.groups}, {2 * rows->line, 2 * rows->group}, {64, 16, 1}, Swizzle::b128})
               : TensorMap{};
  };
  const Maps maps{operand_map<kTileM>(p.a, p.m, p.k, p.groups), half_map<kTileN>(p.b, p.n, p.k, p.groups), like_c(p.c),
                  like_c(Maps::kResidual ? p.residual : nullptr), by_tma};
  const int64_t items = items_of(shape_of(p), kTileN);
  launch_cluster(product_persistent<P, kTileN, Maps>, dim3(unsigned(2 * std::min<int64_t>(items, multiprocessors() / 2))), dim3(2),
                 dim3(kWgmmaThreads), aligned_shared_bytes<PersistentShared<kTileN>>, context, p, index_32(items), maps);
}
// In the tiles that take the least time.
template <class P>
void run_v8(Context& context, const P& p) {
  with_tile(shape_of(p), largest_tile(p.residual, p.statistics), [&]<int kTileN>() { run_v8<kTileN>(context, p); });
}

}  // namespace
}  // namespace graft::GRAFT_GPU
