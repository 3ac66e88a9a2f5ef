// The kernel of version 8 of matmul, linear and conv2d, on Hopper: wgmma_loop.cuh in 132 blocks that take tile after tile. How
// tiles come and go: persistent_product.cuh (Maps).
//
//   persistent   the producer loads the next tile while the consumers finish this one
//   cluster      two blocks, one above the other, share columns: each loads half of the tile of b, and TMA sends it to both, so
//                that L2 delivers a third less
//   epilogue     sums go by stmatrix into swizzled boxes of 16 x 64, a warp's own, that TMA stores, edges clipped: no barrier
//                between warps. The bias of a tile is loaded before its products and lies in the registers of a warp. As short
//                as it can be: all blocks store at the same time, and the tensor cores stand still
//   sums of a    over k, the bias gradient beside a weight gradient: by two idle warps of the producer, from the tiles of a in the
//                ring. Each of the tiles beside each other sums its share of k: one that did it alone would be late.
//                A pass of its own reads dy again: 50 MB of 8192 x 3072
//   residual     is loaded into those boxes while the tile is multiplied, and read from them by ldmatrix as stmatrix will write
//   statistics   are summed from those boxes, a lane two columns: values as they are stored. The warps of a tile add theirs up one
//                after the other in a line of shared memory, which has no room for a line each
//   tile         128 x 128, 192 or 256, as the last round of tiles fills the GPU best
//   order        tiles that run together cover eight rows of tiles: b stays in L2
#pragma once
#include "kernels/matmul/aligned.cuh"
#include "kernels/matmul/wgmma_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kPairs = 66;  // of multiprocessors, as an H100 has them: for the costs, which choose the same on all GPUs

// What fits beside each other: slots of the ring, and boxes of 16 x 64 that a warp can fill before a store has to be over.
template <int kTileN>
constexpr int kSlotsOf = kTileN == 128 ? 6 : 4;
template <int kTileN>
constexpr int kBoxesOf = kTileN == 256 ? 2 : kTileN / 64;
constexpr int kLargestSummed = 192;  // columns of tiles with statistics

// The corner of block `rank` of a pair in work item `item`: groups one after the other, bands of four pairs, down the rows first.
struct Item {
  int g, m, n;
};
template <int kTileN>
__device__ Item item_of(int item, int m, int n, int rank) {
  constexpr int kBand = 4;
  const int rows = (m + 2 * kTileM - 1) / (2 * kTileM), columns = (n + kTileN - 1) / kTileN, in_group = item % (rows * columns);
  const int first = in_group / (kBand * columns) * kBand, height = rows - first < kBand ? rows - first : kBand;
  const int in_band = in_group - first * columns;
  return {item / (rows * columns), (2 * (first + in_band % height) + rank) * kTileM, in_band / height * kTileN};
}

// Where the warps of a tile add up 64 of its columns for statistics: a lane columns 2 lane and 2 lane + 1 over its warp's rows, and
// their squares, to what the warps before have left; the last one stores the sums.
struct ColumnLine {
  float4 before[32];  // of the lanes
  uint64_t turn[kConsumerWarps];

  template <class Maps, class P>
  __device__ void add(const P& p, const BFloat16* box, const Item& at, int n, int slice, int lane, int parity) {
    float4 s{};
#pragma unroll 4
    for (int row = 0; row < 16; ++row) {
      const uint32_t two = *reinterpret_cast<const uint32_t*>(box + row * 64 + (lane / 4 ^ row % 8) * 8 + lane % 4 * 2);
      if (Maps::row(at.m, slice, row) >= p.m) continue;
      const float a = __int_as_float(int(two << 16)), b = __int_as_float(int(two & 0xffff0000u));
      s.x += a, s.y += b, s.z = fmaf(a, a, s.z), s.w = fmaf(b, b, s.w);
    }
    mbarrier_wait(&turn[slice], slice > 0 ? parity : parity ^ 1);  // the first warp: for the last one, a tile before
    if (slice > 0) {
      const float4 b = before[lane];
      s.x += b.x, s.y += b.y, s.z += b.z, s.w += b.w;
    }
    if (slice + 1 < kConsumerWarps) before[lane] = s;
    __syncwarp();
    if (lane == 0) mbarrier_arrive(&turn[(slice + 1) % kConsumerWarps]);
    n += 2 * lane;
    if (slice + 1 < kConsumerWarps || at.m >= p.m || n >= p.n) return;
    const int64_t columns = int64_t(p.groups) * p.n;
    float* const sums = p.tile_sums + at.m / kTileM * 2 * columns + at.g * int64_t(p.n) + n;
    sums[0] = s.x, sums[1] = s.y, sums[columns] = s.z, sums[columns + 1] = s.w;
  }
};

// A Ring and more; barriers at the end, where they fill up no multiple of 1024 bytes of their own.
template <int kTileN>
struct alignas(1024) PersistentShared {
  static constexpr int kSlots = kSlotsOf<kTileN>, kLength = kPerLine<BFloat16>;
  BFloat16 a[kSlots][kTileM * kLength], b[kSlots][kTileN * kLength];
  BFloat16 out[kConsumerWarps][kBoxesOf<kTileN>][16 * 64];
  ColumnLine columns[kTileN <= kLargestSummed ? kTileN / 64 : 1];
  uint64_t full[kSlots], empty[kSlots];
  uint64_t residual[kConsumerWarps];  // a warp's boxes hold the residual
};

// The bias of the columns of a tile, over the lanes of a warp: of eight columns at 8 g, lane 4 (g % 8) + q holds 2 q and 2 q + 1 in
// pair[g / 8]. A sum of wgmma's layout finds its own with one shuffle.
template <int kTileN>
struct TileBias {
  uint32_t pair[kTileN / 64];
  template <class P>
  __device__ void load(const P& p, int g, int n, int lane) {
#pragma unroll
    for (int i = 0; i < kTileN / 64; ++i) {
      const int j = n + 64 * i + 2 * lane;
      pair[i] = 0;
      if (p.bias && j < p.n) pair[i] = p.bias[g * p.n + j].bits;
      if (p.bias && j + 1 < p.n) pair[i] |= uint32_t{p.bias[g * p.n + j + 1].bits} << 16;
    }
  }
  __device__ void add(float (&v)[2], int column, int lane) const {
    const uint32_t two = __shfl_sync(kFullWarp, pair[column / 64], column % 64 / 2 + lane % 4);
    v[0] += __int_as_float(int(two << 16)), v[1] += __int_as_float(int(two & 0xffff0000u));
  }
};

// Whether rows of c are always lines in memory.
template <class P>
constexpr bool kLines = std::is_same_v<decltype(P::row), Rows>;

// The epilogues, cheap ones first: each is code of its own, since the sums must be unrolled.
enum class Finish { none, bias_relu, bias_residual, any };

// into_boxes: the residual of a tile comes into the boxes that its warps store it from while the tile is multiplied.
template <class P>
__device__ Finish finish_of(const P& p, bool into_boxes) {
  if (p.residual && p.activation == Activation::none && into_boxes) return Finish::bias_residual;
  if (p.residual || p.activation == Activation::gelu) return Finish::any;
  return p.bias || p.activation == Activation::relu ? Finish::bias_relu : Finish::none;
}

// A warp's 16 rows of a tile, which `maps` knows by their number: finished sums, rounded, into its boxes and from there to memory.
template <Finish kFinish, int kTileN, class P, class Maps>
__device__ void store_tile(const P& p, const Maps& maps, BFloat16 (&boxes)[kBoxesOf<kTileN>][16 * 64], float (&sum)[kTileN / 2],
                           const TileBias<kTileN>& bias, ColumnLine* lines, const Item& at, int slice, int lane, int parity) {
  const int g = at.g, n0 = at.n;
  const bool by_tma = maps.by_tma;
  constexpr int kBoxes = kBoxesOf<kTileN>;
  const float floor = p.activation == Activation::relu ? 0 : -INFINITY;
  P without_bias = p;
  without_bias.bias = nullptr;
#pragma unroll
  for (int box = 0; box < kTileN / 64; ++box) {
    BFloat16* const out = boxes[box % kBoxes];
    if (kFinish != Finish::bias_residual && lane == 0 && by_tma)
      tma_store_wait_read<kBoxes - 1>();  // the store before from this box
    __syncwarp();
#pragma unroll
    for (int block = 0; block < 4; ++block) {  // of 16 x 16, four matrices
      const int row = lane % 16, chunk = 2 * block + lane / 16;
      BFloat16* const place = out + row * 64 + (chunk ^ row % 8) * 8;
      uint32_t r[4], residual[4];
      if constexpr (kFinish == Finish::bias_residual) {
        ldmatrix(residual, place);
        __syncwarp();
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int e = 32 * box + 8 * block + 2 * i, column = 64 * box + 16 * block + i / 2 * 8;
        float v[2] = {sum[e], sum[e + 1]};
        if (kFinish != Finish::none) bias.add(v, column, lane);
        if (kFinish == Finish::bias_relu) v[0] = max_nan(v[0], floor), v[1] = max_nan(v[1], floor);
        if (kFinish == Finish::bias_residual)
          v[0] += __int_as_float(int(residual[i] << 16)), v[1] += __int_as_float(int(residual[i] & 0xffff0000u));
        if (kFinish == Finish::any) {
          const int m = Maps::row(at.m, slice, lane / 4 + i % 2 * 8), n = n0 + column + lane % 4 * 2;
          if (m < p.m && n < p.n) without_bias.apply(g, m, n, v);
        }
        r[i] = pack_bf16(v[0], v[1]);
      }
      stmatrix(place, r);
    }
    const int n = n0 + 64 * box;
    if (by_tma) fence_async();
    __syncwarp();
    if (by_tma) {
      if (lane == 0) {
        maps.store(out, n, at.m, slice, g);
        tma_store_commit();
      }
    } else if (!kLines<P> && p.vectors) {  // rows that TMA does not find
#pragma unroll
      for (int row = lane / 8; row < 16; row += 4)
        if (const int m = Maps::row(at.m, slice, row), column = n + lane % 8 * 8; m < p.m && column < p.n)
          *reinterpret_cast<uint4*>(p.c + p.row(g, m) + column) = load_packed(out + row * 64 + (lane % 8 ^ row % 8) * 8);
    } else {  // lines that TMA does not take: neighbours by neighbouring lanes
#pragma unroll 4
      for (int row = 0; row < 16; ++row) {
        const int m = Maps::row(at.m, slice, row);
#pragma unroll
        for (int column = lane; column < 64; column += 32)
          if (m < p.m && n + column < p.n) p.c[p.row(g, m) + n + column] = out[row * 64 + (column / 8 ^ row % 8) * 8 + column % 8];
      }
    }
    if constexpr (kTileN <= kLargestSummed && (kFinish == Finish::none || kFinish == Finish::bias_relu))
      if (p.tile_sums) lines[box].template add<Maps>(p, out, at, n, slice, lane, parity);
  }
}

// Starts to copy the residual of a warp's rows into its boxes, where TMA does not find them.
template <class Maps, class P, int kBoxes>
__device__ void copy_residual(const P& p, BFloat16 (&boxes)[kBoxes][16 * 64], const Item& at, int slice, int lane) {
  __syncwarp();  // the boxes are read
#pragma unroll 1
  for (int row = lane / 8; row < 16; row += 4) {
    const int m = Maps::row(at.m, slice, row), column = at.n + lane % 8 * 8;
    const BFloat16* const from = p.residual + (m < p.m ? p.row(at.g, m) : 0) + column;
#pragma unroll
    for (int box = 0; box < kBoxes; ++box)
      if (m < p.m && column + 64 * box < p.n) copy_async_16(boxes[box] + row * 64 + (lane % 8 ^ row % 8) * 8, from + 64 * box);
  }
  copy_async_commit();
}

// Warp `half` of two that add up tiles of a, whose lines lie along m: lane (chunk, line) eight neighbours of every fourth line.
constexpr int kSummingWarps = 2;
struct SumsOfA {
  int half, chunk = int(threadIdx.x) % 8, line = int(threadIdx.x) % 32 / 8;
  float sum[8] = {};

  __device__ void add(const BFloat16* tile) {
#pragma unroll 4
    for (int k = line; k < kPerLine<BFloat16>; k += 4) {
      float v[8];
      load(v, tile + (half * kPerLine<BFloat16> + k) * 64 + (chunk ^ k % 8) * 8);
#pragma unroll
      for (int e = 0; e < 8; ++e) sum[e] += v[e];
    }
  }
  __device__ void store(float* sums, int m, int end) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      sum[e] += __shfl_xor_sync(kFullWarp, sum[e], 8);
      sum[e] += __shfl_xor_sync(kFullWarp, sum[e], 16);
      const int i = m + 64 * half + 8 * chunk + e;
      if (line == 0 && i < end) sums[i] = sum[e];
      sum[e] = 0;
    }
  }
};

template <class P, int kTileN, class Maps>
__global__ void __launch_bounds__(kWgmmaThreads, 1) product_persistent(P p, int items, const __grid_constant__ Maps maps) {
#if defined(GRAFT_SM_90A)
  constexpr Along kA = decltype(p.a)::kAlong, kB = decltype(p.b)::kAlong;
  constexpr int kDepth = kPerLine<BFloat16>, kSlots = kSlotsOf<kTileN>;
  auto& s = aligned_shared<PersistentShared<kTileN>>();
  const int rank = cluster_rank(), warpgroup = warpgroup_index(), lane = int(threadIdx.x) % 32;
  const int steps = (p.k + kDepth - 1) / kDepth, stride = int(gridDim.x) / 2;
  if (threadIdx.x == 0)
    for (int i = 0; i < kConsumerWarps; ++i) {
      mbarrier_init(&s.residual[i], 1);
      for (ColumnLine& line : s.columns) mbarrier_init(&line.turn[i], 1);
    }
  init_ring(s, 2 * kConsumerWarps + (p.sums_of_a ? kSummingWarps : 0));
  cluster_sync();
  Slot<kSlots> slot;
  if (warpgroup == 0) {
    registers_decrease<56>();
    if (threadIdx.x == 0)
      for (int item = int(blockIdx.x) / 2; item < items; item += stride) {
        const Item at = item_of<kTileN>(item, p.m, p.n, rank);
        for (int step = 0; step < steps; ++step, slot.next()) {
          uint64_t* const full = &s.full[slot.index];
          mbarrier_wait(&s.empty[slot.index], slot.parity ^ 1);  // in both blocks
          mbarrier_arrive_expect(full, int(sizeof(s.a[0]) + sizeof(s.b[0])));
          maps.load_a(p.a, s.a[slot.index], full, at.m, step * kDepth, at.g);
          maps.load_b(p.b, s.b[slot.index], full, at.n, step * kDepth, at.g, rank);
        }
      }
    if constexpr (kA == Along::outer)
      if (const int warp = int(threadIdx.x) / 32; p.sums_of_a && warp > 0 && warp <= kSummingWarps) {
        SumsOfA sums{warp - 1};
        const int across = (p.n + kTileN - 1) / kTileN;
        for (int item = int(blockIdx.x) / 2; item < items; item += stride) {
          const Item at = item_of<kTileN>(item, p.m, p.n, rank);
          const int column = at.n / kTileN;
          int next = column;
          for (int step = 0; step < steps; ++step, slot.next()) {
            mbarrier_wait(&s.full[slot.index], slot.parity);
            if (step == next) sums.add(s.a[slot.index]), next += across;
            __syncwarp();
            if (lane == 0) mbarrier_arrive(&s.empty[slot.index]);
          }
          sums.store(p.sums_of_a + int64_t(column) * p.m, at.m, p.m);
        }
      }
  } else {
    registers_increase<224>();
    const int consumer = warpgroup - 1, warp = same_in_warp(int(threadIdx.x) / 32 % 4);
    const Finish finish = finish_of(p, Maps::kResidual && p.vectors);
    int parity = 0;
    for (int item = int(blockIdx.x) / 2; item < items; item += stride, parity ^= 1) {
      const Item at = item_of<kTileN>(item, p.m, p.n, rank);
      TileBias<kTileN> bias;
      bias.load(p, at.g, at.n, lane);
      const int slice = 4 * consumer + warp;
      auto& boxes = s.out[slice];
      if constexpr (Maps::kResidual) {
        if (!kLines<P> && finish == Finish::bias_residual && !maps.by_tma) {
          copy_residual<Maps>(p, boxes, at, slice, lane);
        } else if (finish == Finish::bias_residual && lane == 0) {
          tma_store_wait_read<0>();
          mbarrier_arrive_expect(&s.residual[slice], int(sizeof(boxes)));
          for (int box = 0; box < kTileN / 64; ++box)
            maps.load_residual(boxes[box], &s.residual[slice], at.n + 64 * box, at.m, slice, at.g);
        }
        __syncwarp();
      }
      float sum[kTileN / 2];
      multiply_ring<kA, kB>(sum, s, slot, steps, consumer, [&](int index) {
        if (lane < 2) mbarrier_arrive_remote(&s.empty[index], lane);
      });
      const auto store = [&]<Finish kFinish>() {
        store_tile<kFinish, kTileN>(p, maps, boxes, sum, bias, s.columns, at, slice, lane, parity);
      };
      if (finish == Finish::none) store.template operator()<Finish::none>();
      else if (finish == Finish::bias_relu) store.template operator()<Finish::bias_relu>();
      else if (!Maps::kResidual || finish == Finish::any) store.template operator()<Finish::any>();
      if constexpr (Maps::kResidual)
        if (finish == Finish::bias_residual) {
          if (kLines<P> || maps.by_tma) mbarrier_wait(&s.residual[slice], parity);
          else copy_async_wait<0>(), __syncwarp();
          store.template operator()<Finish::bias_residual>();
        }
    }
    if (lane == 0 && maps.by_tma) tma_store_wait_read<0>();
  }
  __syncwarp();    // the first thread of the producer comes late
  cluster_sync();  // the other block's arrivals and copies come here until its end
#endif
}

}  // namespace
}  // namespace graft::GRAFT_GPU
