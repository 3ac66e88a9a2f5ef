// Version 9 of matmul and linear, fp32 on Hopper without tensor cores: what vectorised_loop.cuh fetches by its threads TMA brings.
//
//   registers   no thread holds what comes next, so that 255 registers take 8 x 16 sums and four k of their operands: 24 loads of
//               16 bytes serve 512 products (version 5: 32)
//   ring        three slots of 128 by 32 of a and of b, in two blocks of 128 threads on a multiprocessor. Thread 0 refills the slot
//               that was read in the step before: all warps are done with it long ago, and its bytes have a step to come
//   tiles       lie as in memory. Lines along k: a thread reads four k of a line, and what TMA has swizzled lies in eight groups of
//               banks; a thread's lines are 4 (8) apart. Lines along m (n): four neighbours of a line
//   registers -> c   through shared memory, a warp its 32 rows, in whole lines
#pragma once
#include "kernels/common/tma.h"
#include "kernels/common/wgmma.h"
#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct SimtTma {
  static constexpr int kTile = 128, kDepth = 32, kSlot = kTile * kDepth, kSlots = 3, kThreads = 128, kWarps = kThreads / 32,
                       kRowsOfWarp = kTile / kWarps;
  static constexpr int kLanesM = 4, kLanesN = 8, kPerM = kRowsOfWarp / kLanesM, kPerN = kTile / kLanesN;  // of a warp; of a thread
  static constexpr int kOutLine = kTile + 8;  // floats; + 8: four rows of eight meet all banks
  struct alignas(1024) Smem {
    float a[kSlots][kSlot], b[kSlots][kSlot];
    uint64_t full[kSlots], empty[kSlots];
  };
};

// kCount elements of an operand's outer index for each of kLanes threads, and four k: kCount loads of four floats. Lines along k:
// load i brings four k of element i; else four elements of one k.
template <Along kAlong, int kCount, int kLanes>
struct Fragment {
  static constexpr bool kAlongK = kAlong == Along::k;
  static __device__ int outer(int lane, int i) { return kAlongK ? lane + i * kLanes : i / 4 * 4 * kLanes + 4 * lane + i % 4; }

  // Float e of load i is element_of(i, e) at k_of(i, e), and the other way round.
  static __device__ constexpr int k_of(int i, int e) { return kAlongK ? e : i / (kCount / 4); }
  static __device__ constexpr int element_of(int i, int e) { return kAlongK ? i : i % (kCount / 4) * 4 + e; }
  static __device__ float at(const float (&v)[kCount][4], int k, int element) {
    return kAlongK ? v[element][k] : v[k * (kCount / 4) + element / 4][element % 4];
  }

  // From k = 4 `four` of a tile on, which begins at a multiple of eight of the outer index.
  static __device__ void load(float (&v)[4], const float* tile, int lane, int four, int i) {
    const int line = outer(lane, i);
    const float4 x = *reinterpret_cast<const float4*>(
        tile + (kAlongK ? line * SimtTma::kDepth + 4 * (four ^ (line & 7))
                        : (4 * four + k_of(i, 0)) * SimtTma::kTile + outer(lane, element_of(i, 0))));
    v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
  }
};

template <class P>
__global__ void __launch_bounds__(SimtTma::kThreads, 2)
    product_v9_tma(P p, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b) {
#if defined(GRAFT_SM_90A)
  using S = SimtTma;
  using A = Fragment<decltype(p.a)::kAlong, S::kPerM, S::kLanesM>;
  using B = Fragment<decltype(p.b)::kAlong, S::kPerN, S::kLanesN>;
  auto& s = aligned_shared<S::Smem>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kSlots; ++i) mbarrier_init(&s.full[i], 1), mbarrier_init(&s.empty[i], S::kWarps);
    fence_mbarrier_init();
  }
  __syncthreads();
  const Corner corner = corner_of_block<S::kTile>(p.m, p.n);
  const int part = int(blockIdx.y), g = int(blockIdx.z);
  const int begin = part * p.k_part, end = min(p.k, begin + p.k_part), steps = (end - begin + S::kDepth - 1) / S::kDepth;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, ty = lane / 16 * 2 + lane % 2, tx = lane % 16 / 2;

  const auto fill = [&](int slot, int step) {
    const int k = begin + step * S::kDepth;
    mbarrier_arrive_expect(&s.full[slot], int(sizeof(s.a[0]) + sizeof(s.b[0])));
    A::kAlongK ? tma_load(s.a[slot], map_a, &s.full[slot], k, corner.m, g)
               : tma_load(s.a[slot], map_a, &s.full[slot], corner.m, k, g);
    B::kAlongK ? tma_load(s.b[slot], map_b, &s.full[slot], k, corner.n, g)
               : tma_load(s.b[slot], map_b, &s.full[slot], corner.n, k, g);
  };
  if (threadIdx.x == 0)
    for (int step = 0; step < min(S::kSlots, steps); ++step) fill(step, step);

  // While a round of 128 products is made, the operands of the next are on their way: four loads of b, and two of the next four k
  // of a.
  constexpr int kRounds = 4, kPiecesA = S::kPerM / kRounds, kPiecesB = S::kPerN / kRounds, kFours = S::kDepth / 4;
  float sum[S::kPerM][S::kPerN] = {};
  float a[2][S::kPerM][4], b[2][kPiecesB][4];
  const float* const a0 = s.a[0] + warp * S::kRowsOfWarp * (A::kAlongK ? S::kDepth : 1);
  const float* const b0 = s.b[0];
  mbarrier_wait(&s.full[0], 0);
#pragma unroll
  for (int i = 0; i < S::kPerM; ++i) A::load(a[0][i], a0, ty, 0, i);
#pragma unroll
  for (int i = 0; i < kPiecesB; ++i) B::load(b[0][i], b0, tx, 0, i);

  int slot = 0, parity = 0, before = S::kSlots - 1;
  for (int step = 0; step < steps; ++step) {
    const int now = slot;
    const bool more = step + 1 < steps;
#pragma unroll 1
    for (int pair = 0; pair < kFours; pair += 2) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int four = pair + half, next = half == 0 ? four + 1 : (four + 1) % kFours;
        if (half == 1 && next == 0 && more) {
          if (++slot == S::kSlots) slot = 0, parity ^= 1;
          mbarrier_wait(&s.full[slot], parity);
        }
#pragma unroll
        for (int round = 0; round < kRounds; ++round) {
#pragma unroll
          for (int i = 0; i < kPiecesB; ++i)
            if (round + 1 < kRounds) B::load(b[(round + 1) % 2][i], b0 + now * S::kSlot, tx, four, (round + 1) * kPiecesB + i);
            else B::load(b[0][i], b0 + slot * S::kSlot, tx, next, i);
#pragma unroll
          for (int i = round * kPiecesA; i < (round + 1) * kPiecesA; ++i)
            A::load(a[half ^ 1][i], a0 + slot * S::kSlot, ty, next, i);
#pragma unroll
          for (int i = 0; i < kPiecesB; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int k = B::k_of(round * kPiecesB + i, e), column = B::element_of(round * kPiecesB + i, e);
#pragma unroll
              for (int row = 0; row < S::kPerM; ++row)
                sum[row][column] = fmaf(A::at(a[half], k, row), b[round % 2][i][e], sum[row][column]);
            }
        }
      }
    }
    __syncwarp();
    if (lane == 0) mbarrier_arrive(&s.empty[now]);
    if (threadIdx.x == 0 && step > 0 && step + S::kSlots - 1 < steps) {
      mbarrier_wait(&s.empty[before], (step - 1) / S::kSlots % 2);
      fill(before, step + S::kSlots - 1);
    }
    before = now;
  }
  __syncthreads();

  static_assert(sizeof(float) * S::kTile * S::kOutLine <= sizeof s.a + sizeof s.b);
  float* const out = reinterpret_cast<float*>(&s) + warp * S::kRowsOfWarp * S::kOutLine;
#pragma unroll
  for (int i = 0; i < S::kPerM; ++i) {
    float* const row = out + A::outer(ty, i) * S::kOutLine;
    if constexpr (B::kAlongK) {
#pragma unroll
      for (int j = 0; j < S::kPerN; ++j) row[B::outer(tx, j)] = sum[i][j];
    } else {
#pragma unroll
      for (int j = 0; j < S::kPerN; j += 4)
        *reinterpret_cast<float4*>(row + B::outer(tx, j)) = make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
    }
  }
  __syncwarp();
  const int n = corner.n + 4 * lane;
  if (n >= p.n) return;
#pragma unroll 1
  for (int row = 0; row < S::kRowsOfWarp; ++row) {
    const int m = corner.m + warp * S::kRowsOfWarp + row;
    if (m >= p.m) return;
    const float4 x = *reinterpret_cast<const float4*>(out + row * S::kOutLine + 4 * lane);
    float v[4] = {x.x, x.y, x.z, x.w};
    p.store(part, g, m, n, v);
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
                                kAlongK ? Swizzle::b128 : Swizzle::none});
}

// In the time of a step of k, 2.7 us where two blocks share an H100's multiprocessor and one of them is counted at a time.
inline Parts simt_parts(const MatmulParams& s, SplitK split) {
  constexpr PartCosts kCosts{132, 1, 0.016, 1};
  constexpr int kLeast = 2;  // steps that are worth a block
  const int64_t most = split == SplitK::never ? 1 : std::max<int64_t>(s.k / (kLeast * SimtTma::kDepth), 1);
  const int64_t tiles = s.batch * ceil_div(s.m, SimtTma::kTile) * ceil_div(s.n, SimtTma::kTile);
  return choose_parts(tiles, ceil_div(s.k, SimtTma::kDepth), most, kCosts);
}

}  // namespace

bool supports_simt_tma(const MatrixProduct<float>& p) {
  const MatmulParams& s = p.shape;
  return aligned_lines(p) && !p.statistics && s.m > 0 && s.n > 0 && s.k > 0 && s.batch > 0 && s.batch <= kMaxGroups &&
         device_is_hopper();
}
// Where it fills the GPU; smaller tiles of version 5 do for less.
bool simt_tma_pays(const MatrixProduct<float>& p) {
  const MatmulParams& s = p.shape;
  const int64_t tiles = s.batch * ceil_div(s.m, SimtTma::kTile) * ceil_div(s.n, SimtTma::kTile);
  return std::min(s.m, s.n) > SimtTma::kTile / 2 && tiles * simt_parts(s, p.split).count >= 132;
}
void simt_tma_product(Context& context, const MatrixProduct<float>& matrices) {
  with_operands(matrices, [&]<class P>(P p) {
    const int steps = int(ceil_div(ceil_div(p.k, SimtTma::kDepth), simt_parts(matrices.shape, matrices.split).count));
    p.k_part = steps * SimtTma::kDepth;
    const int parts = int(ceil_div(p.k, p.k_part));
    const auto map_a = simt_map(p.a, p.m, p.k, p.groups), map_b = simt_map(p.b, p.n, p.k, p.groups);
    const dim3 grid(unsigned(ceil_div(p.m, SimtTma::kTile) * ceil_div(p.n, SimtTma::kTile)), unsigned(parts), unsigned(p.groups));
    const auto run = [&] {
      launch(product_v9_tma<P>, grid, SimtTma::kThreads, aligned_shared_bytes<SimtTma::Smem>, context, p, map_a, map_b);
    };
    if (parts == 1) return run();
    const auto partial = device_scratch<float>(context, size_t(parts) * size_t(p.groups) * size_t(p.m) * size_t(p.n));
    p.partial = partial.get();
    run();
    sum_parts(context, p, parts);
  });
}

}  // namespace graft::GRAFT_GPU
