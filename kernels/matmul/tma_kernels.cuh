// Version 9 of matmul and linear, fp32 on Hopper without tensor cores: what vectorised_loop.cuh fetches by its threads TMA brings.
//
//   registers   no thread holds what comes next but for one k: 8 x 16 sums and twice 24 operands. Six loads of 16 bytes serve 128
//               products (version 5: 4 serve 64)
//   banks       a warp scheduler reads a register of each of two banks a cycle; a product needs its sum and, where one operand is
//               that of the product before, the other. The compiler keeps them apart where neighbours of a load are neighbours
//               along m (n) and registers are left. (46.8 TFLOP/s on an H200, cuBLAS 49.5; before, with 42, it was
//               dispatch stalls, said Nsight Compute.)
//   tiles       so all tiles lie with lines along m (n) in the end: those that come along k are transposed in shared memory, by
//               each thread a line, while the tile before is multiplied
//   ring        four slots of 128 by 16 of a and of b, in two blocks of 128 threads on a multiprocessor
//   registers -> c   through shared memory, a warp its 32 rows, in whole lines
//   shares      of the tiles for each block, where these would not fill their last round (shares.cuh)
#pragma once
#include <limits>

#include "kernels/common/tma.h"
#include "kernels/common/wgmma.h"
#include "kernels/matmul/shares.cuh"
#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct SimtTma {
  static constexpr int kTile = 128, kDepth = 16, kSlots = 4, kThreads = 128, kRowsOfWarp = 32;
  static constexpr int kLanesM = 4, kLanesN = 8, kPerM = kRowsOfWarp / kLanesM, kPerN = kTile / kLanesN;  // of a warp; of a thread
  static constexpr int kOutLine = kTile + 8;  // floats; + 8: four rows of eight meet all banks
  using Tile = float[kTile * kDepth];
  struct alignas(1024) Smem {
    Tile a[kSlots], b[kSlots], turned_a[2], turned_b[2];
    uint64_t full[kSlots];
    int place;
  };
};
using SimtShares = Shares<SimtTma::kThreads, SimtTma::kPerM * SimtTma::kPerN>;

// A tile of an operand, as TMA has brought it, and as lines along the outer index.
template <Along kAlong>
struct SimtTile {
  static constexpr bool kTurn = kAlong == Along::k;
  static __device__ const float* lines(const SimtTma::Tile& tile, const SimtTma::Tile& turned) { return kTurn ? turned : tile; }

  // Four k of the thread's line; eight lines lie in all banks (Swizzle::b64). And where they belong.
  static __device__ float4 fetch(const SimtTma::Tile& tile, int four) {
    const int line = int(threadIdx.x);
    return *reinterpret_cast<const float4*>(tile + line * SimtTma::kDepth + 4 * (four ^ (line / 2 % 4)));
  }
  static __device__ void keep(SimtTma::Tile& turned, int four, const float4& x) {
    float* const to = turned + 4 * four * SimtTma::kTile + threadIdx.x;
    to[0] = x.x, to[SimtTma::kTile] = x.y, to[2 * SimtTma::kTile] = x.z, to[3 * SimtTma::kTile] = x.w;
  }
};

// kCount elements of a line for each of kLanes threads, in fours.
template <int kLanes, int kCount>
__device__ void read_line(float (&v)[kCount], const float* line) {
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    const float4 x = *reinterpret_cast<const float4*>(line + i * kLanes);
    v[i] = x.x, v[i + 1] = x.y, v[i + 2] = x.z, v[i + 3] = x.w;
  }
}

template <class P>
__global__ void __launch_bounds__(SimtTma::kThreads, 2)
    product_v9_tma(P p, SimtShares shares, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b) {
#if defined(GRAFT_SM_90A)
  using S = SimtTma;
  using A = SimtTile<decltype(p.a)::kAlong>;
  using B = SimtTile<decltype(p.b)::kAlong>;
  auto& s = aligned_shared<S::Smem>();
  if (threadIdx.x == 0) {
    for (uint64_t& full : s.full) mbarrier_init(&full, 1);
    fence_mbarrier_init();
    s.place = shares.tiles > 0 ? shares.take_place() : int(blockIdx.x);
  }
  __syncthreads();
  const int place = same_in_warp(s.place), part_of_k = int(blockIdx.y), g = int(blockIdx.z);
  const int first_k = part_of_k * p.k_part, end_k = min(p.k, first_k + p.k_part);
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int ty = lane / 16 * 2 + lane % 2, tx = lane % 16 / 2;  // neighbours read the same of b, others the same of a

  Work work(place, int(gridDim.x), tiles_of<S::kTile>(p.m, p.n), shares.tiles, (end_k - first_k + S::kDepth - 1) / S::kDepth);
  int loaded = 0;  // steps of the parts before
  for (Part part; work.next(part);) {
    const Corner corner = corner_of_tile<S::kTile>(part.tile, p.m, p.n);
    const int steps = part.end - part.begin;
    const auto fill = [&](int step) {
      const int k = first_k + (part.begin + step) * S::kDepth, slot = (loaded + step) % S::kSlots;
      uint64_t* const full = &s.full[slot];
      mbarrier_arrive_expect(full, int(sizeof(s.a[0]) + sizeof(s.b[0])));
      A::kTurn ? tma_load(s.a[slot], map_a, full, k, corner.m, g) : tma_load(s.a[slot], map_a, full, corner.m, k, g);
      B::kTurn ? tma_load(s.b[slot], map_b, full, k, corner.n, g) : tma_load(s.b[slot], map_b, full, corner.n, k, g);
    };
    const auto wait = [&](int step) { mbarrier_wait(&s.full[(loaded + step) % S::kSlots], (loaded + step) / S::kSlots % 2); };
    if (threadIdx.x == 0)
      for (int step = 0; step < min(S::kSlots, steps); ++step) fill(step);
    float sum[S::kPerM][S::kPerN] = {};
    if (part.begin > 0) shares.go_on(place - 1, sum[0]);
    wait(0);
#pragma unroll
    for (int four = 0; four < S::kDepth / 4; ++four) {
      if (A::kTurn) A::keep(s.turned_a[0], four, A::fetch(s.a[loaded % S::kSlots], four));
      if (B::kTurn) B::keep(s.turned_b[0], four, B::fetch(s.b[loaded % S::kSlots], four));
    }
    for (int step = 0; step < steps; ++step) {
      __syncthreads();  // the tile is turned, the one before is read
      if (threadIdx.x == 0 && step > 0 && step - 1 + S::kSlots < steps) fill(step - 1 + S::kSlots);
      const int slot = (loaded + step) % S::kSlots, next = (loaded + step + 1) % S::kSlots;
      if ((A::kTurn || B::kTurn) && step + 1 < steps) wait(step + 1);
      if (!A::kTurn || !B::kTurn) wait(step);
      const float* a_line = A::lines(s.a[slot], s.turned_a[step % 2]) + warp * S::kRowsOfWarp + 4 * ty;
      const float* b_line = B::lines(s.b[slot], s.turned_b[step % 2]) + 4 * tx;
      float a[2][S::kPerM], b[2][S::kPerN];
      read_line<S::kLanesM>(a[0], a_line);
      read_line<S::kLanesN>(b[0], b_line);
#pragma unroll
      for (int four = 0; four < S::kDepth / 4; ++four) {
        float4 turn_a, turn_b;
        if (A::kTurn) turn_a = A::fetch(s.a[next], four);
        if (B::kTurn) turn_b = B::fetch(s.b[next], four);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          if (4 * four + k + 1 < S::kDepth) {
            a_line += S::kTile, b_line += S::kTile;
            read_line<S::kLanesM>(a[(k + 1) % 2], a_line);
            read_line<S::kLanesN>(b[(k + 1) % 2], b_line);
          }
          if (A::kTurn && k == 1) A::keep(s.turned_a[(step + 1) % 2], four, turn_a);
          if (B::kTurn && k == 2) B::keep(s.turned_b[(step + 1) % 2], four, turn_b);
#pragma unroll
          for (int j = 0; j < S::kPerN; ++j)
#pragma unroll
            for (int q = 0; q < S::kPerM; ++q) {
              const int i = j % 2 ? S::kPerM - 1 - q : q;  // back and forth
              sum[i][j] = fmaf(a[k % 2][i], b[k % 2][j], sum[i][j]);
            }
        }
      }
    }
    loaded += steps;
    __syncthreads();
    if (first_k + part.end * S::kDepth < end_k) {
      shares.leave(place, sum[0]);
      continue;
    }
    static_assert(sizeof(float) * S::kTile * S::kOutLine <= offsetof(S::Smem, full));
    float* const out = reinterpret_cast<float*>(&s) + warp * S::kRowsOfWarp * S::kOutLine;
#pragma unroll
    for (int i = 0; i < S::kPerM; ++i)
#pragma unroll
      for (int j = 0; j < S::kPerN; j += 4)
        *reinterpret_cast<float4*>(out + (i / 4 * 4 * S::kLanesM + 4 * ty + i % 4) * S::kOutLine + j * S::kLanesN + 4 * tx) =
            make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
    __syncwarp();
    const int n = corner.n + 4 * lane, m0 = corner.m + warp * S::kRowsOfWarp, rows = n < p.n ? min(S::kRowsOfWarp, p.m - m0) : 0;
#pragma unroll 1
    for (int row = 0; row < rows; ++row) {
      const float4 x = *reinterpret_cast<const float4*>(out + row * S::kOutLine + 4 * lane);
      float v[4] = {x.x, x.y, x.z, x.w};
      p.store(part_of_k, g, m0 + row, n, v);
    }
    fence_async();  // what TMA writes next lies there
    __syncthreads();
  }
#endif
}

template <Along kAlong>
TensorMap simt_map(const Lines<float, kAlong>& o, int outers, int k, int groups) {
  constexpr bool kAlongK = kAlong == Along::k;
  constexpr int64_t kBytes = sizeof(float);
  return tensor_map(TiledTensor{o.x,
                                DType::f32,
                                3,
                                {kAlongK ? k : outers, kAlongK ? outers : k, groups},
                                {kBytes * o.line, kBytes * o.group},
                                {kAlongK ? SimtTma::kDepth : SimtTma::kTile, kAlongK ? SimtTma::kTile : SimtTma::kDepth, 1},
                                kAlongK ? Swizzle::b64 : Swizzle::none});
}

constexpr int kSimtPlaces = 2 * 132;  // blocks that an H100 works on together
inline int64_t tiles_of(const MatmulParams& s) { return s.batch * tiles_of<SimtTma::kTile>(int(s.m), int(s.n)); }

// In the time of a step of k, 1.3 us where two blocks share an H100's multiprocessor and one of them is counted at a time.
inline Parts simt_parts(const MatmulParams& s, SplitK split) {
  constexpr PartCosts kCosts{132, 2, 0.03, 2};
  constexpr int kLeast = 4;  // steps that are worth a block
  const int64_t most = split == SplitK::never ? 1 : std::max<int64_t>(s.k / (kLeast * SimtTma::kDepth), 1);
  return choose_parts(tiles_of(s), ceil_div(s.k, SimtTma::kDepth), most, kCosts);
}
// How many tiles to share, of one to two rounds: where that saves more steps than it costs to leave 64 KB in memory and read them.
inline int64_t simt_shared(const MatmulParams& s) {
  constexpr int64_t kCost = 4, kMostSteps = std::numeric_limits<int>::max() / (2 * kSimtPlaces * kSimtPlaces);
  const int64_t tiles = tiles_of(s), steps = ceil_div(s.k, SimtTma::kDepth), last = tiles % kSimtPlaces;
  const bool saves = last > 0 && (kSimtPlaces - last) * steps >= kCost * kSimtPlaces;
  return s.batch == 1 && tiles > kSimtPlaces && saves && steps <= kMostSteps ? kSimtPlaces + last : 0;
}

}  // namespace

bool supports_simt_tma(const MatrixProduct<float>& p) {
  const MatmulParams& s = p.shape;
  return aligned_lines(p) && !p.statistics && s.m > 0 && s.n > 0 && s.k > 0 && s.batch > 0 && s.batch <= kMaxGroups &&
         device_is_hopper();
}
// Where two blocks share each multiprocessor most of the time: one alone has a warp a scheduler. (8192 rows, 768 to 3072, on an
// H200: forward with 1536 tiles in 6 rounds 826 us, version 5 923; dgrad with 384, then in 2 rounds, 1027 and 915.)
bool simt_tma_pays(const MatrixProduct<float>& p) {
  const MatmulParams& s = p.shape;
  const int64_t parts = simt_parts(s, p.split).count, blocks = tiles_of(s) * parts;
  const bool full = 5 * blocks >= 4 * kSimtPlaces * ceil_div(blocks, kSimtPlaces) || (parts == 1 && simt_shared(s) > 0);
  return std::min(s.m, s.n) > SimtTma::kTile / 2 && full;
}
void simt_tma_product(Context& context, const MatrixProduct<float>& matrices) {
  with_operands(matrices, [&]<class P>(P p) {
    const int steps = int(ceil_div(ceil_div(p.k, SimtTma::kDepth), simt_parts(matrices.shape, matrices.split).count));
    p.k_part = steps * SimtTma::kDepth;
    const int parts = int(ceil_div(p.k, p.k_part)), tiles = tiles_of<SimtTma::kTile>(p.m, p.n);
    const int shared = parts == 1 ? int(simt_shared(matrices.shape)) : 0;
    const auto map_a = simt_map(p.a, p.m, p.k, p.groups), map_b = simt_map(p.b, p.n, p.k, p.groups);
    const auto run = [&](const SimtShares& shares) {
      launch(product_v9_tma<P>, dim3(unsigned(shared > 0 ? kSimtPlaces : tiles), unsigned(parts), unsigned(p.groups)),
             SimtTma::kThreads, aligned_shared_bytes<SimtTma::Smem>, context, p, shares, map_a, map_b);
    };
    if (shared > 0) return with_shares<SimtShares>(context, shared, kSimtPlaces, run);
    if (parts == 1) return run({});
    const auto partial = device_scratch<float>(context, size_t(parts) * size_t(p.groups) * size_t(p.m) * size_t(p.n));
    p.partial = partial.get();
    run({});
    sum_parts(context, p, parts);
  });
}

}  // namespace graft::GRAFT_GPU
