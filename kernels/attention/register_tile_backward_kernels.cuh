// Version 5 of attention, backward: both passes of heads.cuh in fp32 without tensor cores, on the products of register_tile.cuh.
//
// A block owns 64 rows; tiles of 64 (head_dim 128: 32) rows of the stream pass by. P, for keys, and dS go through shared memory
// for the second products, but only inside of a warp. Loads are not hidden in a block: two blocks an SM hide each other's.
#include "kernels/attention/register_tile.cuh"
#include "kernels/common/launch.h"

namespace graft::GRAFT_GPU {
namespace {

template <int kDim>
constexpr int kStream = kDim == 128 ? 32 : 64;

template <int kDim>
struct Smem {
  float own_first[kTileRows][kDim + 4], own_second[kTileRows][kDim + 4];
  float first[kStream<kDim>][kDim + 4], second[kStream<kDim>][kDim + 4];
  float prob[kTileRows][kStream<kDim> + 4], ds[kTileRows][kStream<kDim> + 4];
};

template <int kDim, Rows kRows>
__global__ void __launch_bounds__(kTileThreads, 1) attention_backward_v5(Backward<float, kRows> in) {
  constexpr bool kKeys = kRows == Rows::keys;
  constexpr int kTile = kStream<kDim>, kC = kTile / 16;
  auto& s = *dynamic_shared<Smem<kDim>>();
  const AttentionParams& p = in.p;
  const int tiles = int(ceil_div(in.length(), kTileRows)), t0 = int(blockIdx.x % unsigned(tiles)) * kTileRows;
  const int64_t head = blockIdx.x / unsigned(tiles) % in.heads(), b = blockIdx.x / unsigned(tiles) / in.heads();
  const int live = int(in.live(b)), end = min(t0 + kTileRows, live);
  const Band mask = band<kRows>(p, kKeys ? p.queries : key_count(p, in.lengths, b));
  const Span all = t0 < end ? Span{mask.seen(t0).begin, mask.seen(end - 1).end} : Span{0, 0};
  const int start = all.begin / kTile * kTile;

  const int tx = int(threadIdx.x) % 16, row0 = int(threadIdx.x) / 32 * 16, own = row0 + int(threadIdx.x) / 16 % 2;  // + 2 r
  const WarpView view(mask, t0 + row0, min(t0 + row0 + 16, end));
  float acc1[kR][kGroups<kDim>][kV<kDim>] = {}, acc2[kKeys ? kR : 1][kGroups<kDim>][kV<kDim>] = {};
  for (int g = 0; g < int(in.group()); ++g) {
    const auto a = in.arrays(b, head, g);
    for (int s0 = start; s0 < all.end; s0 += kTile) {
      __syncthreads();
      if (g == 0 && s0 == start) {
        load<kDim>(s.own_first, a.own_first, t0, end);
        load<kDim>(s.own_second, a.own_second, t0, end);
      }
      load<kDim>(s.first, a.first, s0, all.end);
      load<kDim>(s.second, a.second, s0, all.end);
      copy_async_commit();
      copy_async_wait<0>();
      __syncthreads();
      if (view.nothing_in(s0, kTile)) continue;
      float score[kR][kC] = {}, dp[kR][kC] = {};
      add_scores<kDim>(score, s.own_first, s.first, own);
      add_scores<kDim>(dp, s.own_second, s.second, own);
      RowStatistics query;
#pragma unroll
      for (int r = 0; r < kR; ++r) {
        const int t = t0 + own + 2 * r;
        const Span seen = t < end ? mask.seen(t) : Span{0, 0};
        if constexpr (!kKeys) query = t < end ? a.statistics[t] : RowStatistics{INFINITY, 0};
#pragma unroll
        for (int c = 0; c < kC; ++c) {
          const int other = s0 + tx + 16 * c;
          if constexpr (kKeys) query = a.statistics[other];
          const bool inside = other >= seen.begin && other < seen.end;
          const float prob = inside ? exp2_fast(fmaf(score[r][c], float(p.scale) * kLog2e, -query.lse * kLog2e)) : 0;
          if constexpr (kKeys) s.prob[own + 2 * r][tx + 16 * c] = prob;
          s.ds[own + 2 * r][tx + 16 * c] = inside ? prob * (dp[r][c] - query.delta) : 0;
        }
      }
      __syncwarp();
      add_weighted<kDim>(acc1, s.ds, s.first, own);
      if constexpr (kKeys) add_weighted<kDim>(acc2, s.prob, s.second, own);
    }
  }
#pragma unroll
  for (int r = 0; r < kR; ++r) {
    const int t = t0 + own + 2 * r;
    if (t >= in.length()) continue;
#pragma unroll
    for (int n = 0; n < kGroups<kDim>; ++n) {
#pragma unroll
      for (int e = 0; e < kV<kDim>; ++e) acc1[r][n][e] *= float(p.scale);
      write(in.d_first(b, head).row(t) + (16 * n + tx) * kV<kDim>, acc1[r][n]);
      if constexpr (kKeys) write(in.d_second(b, head).row(t) + (16 * n + tx) * kV<kDim>, acc2[r][n]);
    }
  }
}

template <int kDim, Rows kRows>
void run(Context& context, const BackwardProblem<float>& problem) {
  const Backward<float, kRows> in{problem};
  const int64_t blocks = in.p.batch * in.heads() * ceil_div(in.length(), kTileRows);
  if (blocks) launch(attention_backward_v5<kDim, kRows>, dim3(unsigned(blocks)), kTileThreads, sizeof(Smem<kDim>), context, in);
}
template <int kDim>
void run(Context& context, const BackwardProblem<float>& in) {
  run<kDim, Rows::queries>(context, in);
  run<kDim, Rows::keys>(context, in);
}

}  // namespace

bool supports_register_tile(const BackwardProblem<float>& in) {
  return supports_tiled(in.p) && in.p.queries < kFar / 2 && in.p.keys < kFar / 2 &&
         aligned_rows(in.p, in.dq, in.dk, in.dv, in.dy, in.q, in.k, in.v);
}

void register_tile_backward(Context& context, const BackwardProblem<float>& in) {
  switch (in.p.head_dim) {
    case 32: return run<32>(context, in);
    case 64: return run<64>(context, in);
    case 128: return run<128>(context, in);
  }
}

}  // namespace graft::GRAFT_GPU
