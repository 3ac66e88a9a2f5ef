// Tiles of bf16 rows in shared memory as TMA lays them, and the products that wgmma makes of them: what version 4 forward and
// backward share. A tile is boxes of 64 features, 128 bytes a row, the widest swizzle; 64 rows of it are a warpgroup's.
#pragma once
#include <algorithm>

#include "kernels/attention/mma_tile.cuh"
#include "kernels/attention/online_softmax.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/wgmma.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kConsumers = 2, kWarpgroup = 128, kWgmmaThreads = kWarpgroup * (kConsumers + 1);
constexpr int kGroupRows = 64;    // of a consumer
constexpr int kBoxFeatures = 64;  // 128 bytes, the widest swizzle
constexpr int kItems = 2;         // of work whose own rows have room: the one at hand and the next

template <int kDim, int kRows>
using WgmmaTile = BFloat16[kDim / kBoxFeatures][kRows][kBoxFeatures];

// Named barriers; 0 is __syncthreads.
constexpr int kTurn = 1, kBoth = kTurn + kConsumers, kOwn = kBoth + 1;

#if defined(GRAFT_SM_90A)
// A tile as an operand of wgmma: its rows, with the features as k; or its features, with the rows as k.
template <int kDim, int kRows>
__device__ uint64_t operand_of_rows(const WgmmaTile<kDim, kRows>& tile) {
  return matrix_descriptor(&tile, Swizzle::b128, 16, 1024);
}
template <int kDim, int kRows>
__device__ uint64_t operand_of_features(const WgmmaTile<kDim, kRows>& tile) {
  return matrix_descriptor(&tile, Swizzle::b128, kRows * kBoxFeatures * 2, 1024);
}
// From a tile to the one behind it.
template <class Tile>
constexpr uint64_t kNextTile = sizeof(Tile) / 16;

// d = or += 64 rows of a times all rows of b, over the features.
template <int kDim, int kRows>
__device__ void multiply_rows(float (&d)[kRows / 2], uint64_t a, uint64_t b, bool accumulate = false) {
#pragma unroll
  for (int f = 0; f < kDim; f += 16) {
    const int box = f / kBoxFeatures, in_box = f % kBoxFeatures * 2 / 16, line = kBoxFeatures * 2 / 16;
    wgmma<BFloat16, Major::k, Major::k>(d, a + unsigned(box * kGroupRows * line + in_box),
                                        b + unsigned(box * kRows * line + in_box), accumulate || f > 0);
  }
  wgmma_commit();
}

// d += weights of 64 rows, from registers, times the rows of b.
template <int kRows, int kSums>
__device__ void add_weighted_rows(float (&d)[kSums], const uint32_t (&weight)[kRows / 16][4], uint64_t b) {
#pragma unroll
  for (int j = 0; j < kRows / 16; ++j) wgmma<BFloat16, Major::mn>(d, weight[j], b + unsigned(16 * j * kBoxFeatures * 2 / 16), true);
  wgmma_commit();
}

// Sums of a product as the operand of the next.
template <int kRows>
__device__ void round_weights(uint32_t (&to)[kRows / 16][4], const float (&sum)[1][kRows / 8][4]) {
#pragma unroll
  for (int j = 0; j < kRows / 16; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) to[j][i] = pack_bf16(sum[0][2 * j + i / 2][i % 2 * 2], sum[0][2 * j + i / 2][i % 2 * 2 + 1]);
}

// Rows of a tile from `from` on, by all consumers.
template <int kDim, int kRows>
__device__ void clear_padding(WgmmaTile<kDim, kRows>& tile, int from) {
  if (from >= kRows) return;
  constexpr int kChunks = kDim / 8;
  for (int at = int(threadIdx.x); at < (kRows - from) * kChunks; at += kConsumers * kWarpgroup) {
    const int row = from + at / kChunks, chunk = at % kChunks;
    *reinterpret_cast<uint4*>(&tile[chunk / 8][row][chunk % 8 * 8]) = make_uint4(0, 0, 0, 0);
  }
  fence_async();
  named_barrier_sync(kBoth, kConsumers * kWarpgroup);
}

template <class T, int kA, int kB>
__device__ auto& flat(T (&x)[kA][kB][4]) {
  return reinterpret_cast<T(&)[kA * kB * 4]>(x);
}
#endif

// Which tile of rows of which head an item of work is. Heads that fit into a share of L2 together with all that streams past them
// are taken side by side, tile by tile: with a causal mask the longest items begin first and the shortest fill the gaps at the end.
struct WorkOrder {
  int tiles, heads, pairs, together;  // of a head; of a sample; heads of all samples; of which at once
};
WorkOrder work_order(const AttentionParams& p, int64_t length, int64_t heads, int64_t streamed) {
  constexpr int64_t kL2Share = gpu_or_emu<int64_t>(32 << 20, 64 << 10);  // of 50 MB; 0: head after head
  const int64_t tiles = ceil_div(length, kConsumers * kGroupRows), pairs = p.batch * heads;
  return {int(tiles), int(heads), int(pairs), int(std::clamp<int64_t>(kL2Share / (streamed * p.head_dim * 4), 1, pairs))};
}
struct Work {
  int tile, head, b;
};
__device__ Work work_of(const WorkOrder& o, int item) {
  const int batch = item / (o.tiles * o.together), in_batch = item % (o.tiles * o.together);
  const int width = min(o.together, o.pairs - batch * o.together), pair = batch * o.together + in_batch % width;
  return {in_batch / width, pair % o.heads, pair / o.heads};
}

// f(item, how many before it) for all items of this block.
template <class F>
__device__ void for_items(const WorkOrder& order, F f) {
  const int blocks = int(gridDim.x), block = int(blockIdx.x);
  for (int i = 0;; ++i) {
    const int item = i * blocks + (i % 2 == 0 ? block : blocks - 1 - block);
    if (item >= order.tiles * order.pairs) return;
    f(item, i);
  }
}

inline unsigned blocks_for(const WorkOrder& o) { return unsigned(std::min(o.tiles * o.pairs, multiprocessors())); }

// Boxes of `rows` rows of one head, at coordinates feature, head, row, sample.
TensorMap rows_of(const BFloat16* x, const AttentionParams& p, int64_t length, int64_t heads, int64_t step, int rows) {
  const int64_t row = step * 2;
  return tensor_map(TiledTensor{.data = x,
                                .dtype = DType::bf16,
                                .rank = 4,
                                .size = {p.head_dim, heads, length, p.batch},
                                .stride = {p.head_dim * 2, row, length * row},
                                .box = {kBoxFeatures, 1, rows, 1},
                                .swizzle = Swizzle::b128});
}
TensorMap query_rows_of(const BFloat16* x, const AttentionParams& p, int64_t step, int rows) {
  return rows_of(x, p, p.queries, p.heads, step, rows);
}
TensorMap key_rows_of(const BFloat16* x, const AttentionParams& p, int rows) {
  return rows_of(x, p, p.keys, p.kv_heads, p.kv_step(), rows);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
