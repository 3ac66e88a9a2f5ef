// Version 3 of attention, forward: FlashAttention-2 (Dao 2023) on tensor cores by mma.sync, bf16 tensors.
//
// A block of 4 warps owns 128 queries, a warp 32: two a fragments for each b fragment, so that shared memory feeds twice the
// products. Tiles of 64 rows of k and v come in turns through a ring of three by cp.async, one barrier a tile. What it teaches:
//   registers  q stays in registers (head_dim 32, 64), P goes from the first product to the second without leaving them, and so
//              do the output's fp32 sums
//   softmax    online; scale log2 e is folded into one multiply-add before exp2, a row's maximum and sum live in four lanes, and
//              the output is rescaled only where a maximum of the warp's rows has grown
//   masks      a tile that no query of the block sees is never loaded, one that no query of the warp sees is passed over, and
//              only tiles at a boundary look at single elements; blocks with the longest causal rows start first
// A tile starts at a multiple of 64 keys, whatever the mask: no bit of a row depends on the rows beside it.
#include "kernels/attention/mma_tile.cuh"
#include "kernels/attention/online_softmax.cuh"
#include "kernels/common/launch.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kM = 2, kRows = kMmaWarps * 16 * kM, kStages = 3;
template <int kDim>
constexpr int kKeyTile = kDim == 128 ? 32 : 64;  // what 255 registers hold beside the output

template <int kDim>
__global__ void __launch_bounds__(kMmaThreads, 1) attention_forward_v3(ForwardProblem<BFloat16> in) {
  using Tile = MmaTile<kDim>;
  constexpr int kKeys = kKeyTile<kDim>;
  constexpr bool kKeepQueries = kDim < 128;  // in registers
  const AttentionParams& p = in.p;
  BFloat16 *const sq = dynamic_shared<BFloat16>(), *const ring = sq + kRows * kDim;
  const int tiles = int(ceil_div(p.queries, kRows)), i0 = (tiles - 1 - int(blockIdx.x % unsigned(tiles))) * kRows;
  const int64_t h = blockIdx.x / unsigned(tiles) % p.heads, b = blockIdx.x / unsigned(tiles) / p.heads;
  const Band mask = band<Rows::queries>(p, key_count(p, in.lengths, b));
  const int end = min(i0 + kRows, int(p.queries));
  const Span all{mask.seen(i0).begin, mask.seen(end - 1).end};
  const int first = all.begin / kKeys;
  const int steps = all.begin < all.end ? 2 * ((all.end + kKeys - 1) / kKeys - first) : 0;  // k and v in turns
  const auto keys = key_head(in.k, p, b, h / p.group()), values = key_head(in.v, p, b, h / p.group());
  const auto stage = [=](int step) { return ring + step % kStages * (kKeys * kDim); };
  const auto fill = [&](int step) {
    if (step < steps) Tile::template load<kKeys>(stage(step), step % 2 ? values : keys, (first + step / 2) * kKeys, all.end);
    copy_async_commit();  // also an empty group: the count of the wait stays right
  };
  const auto next = [&](int step) {  // tile `step` has arrived, and the one before it is free
    copy_async_wait<kStages - 2>();
    __syncthreads();
    fill(step + kStages - 1);
    return stage(step);
  };

  const int warp_row = int(threadIdx.x) / 32 * 16 * kM, lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const WarpView view(mask, i0 + warp_row, min(i0 + warp_row + 16 * kM, end));
  Tile::template load<kRows>(sq, query_head(in.q, p, b, h), i0, end);
  for (int step = 0; step < kStages - 1; ++step) fill(step);
  uint32_t fq[kKeepQueries ? kDim / 16 : 1][kM][4];
  if constexpr (kKeepQueries) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
#pragma unroll
    for (int f = 0; f < kDim; f += 16)
#pragma unroll
      for (int m = 0; m < kM; ++m) ldmatrix(fq[f / 16][m], Tile::corner(sq, warp_row + 16 * m, f));
  }

  const float scale_log2 = float(p.scale) * kLog2e;
  OnlineSoftmax<kM> softmax;
  float acc[kM][kDim / 8][4] = {};
  for (int step = 0; step < steps; step += 2) {
    const int j0 = (first + step / 2) * kKeys;
    const bool skip = view.nothing_in(j0, kKeys);
    const BFloat16* const sk = next(step);
    float s[kM][kKeys / 8][4] = {};
    if (!skip) {
      if constexpr (kKeepQueries) {
#pragma unroll
        for (int f = 0; f < kDim; f += 16) Tile::add_step(s, fq[f / 16], sk, f);
      } else {
        Tile::add_scores(s, sq, warp_row, sk);
      }
      if (!view.everything_in(j0, kKeys)) {
#pragma unroll
        for (int m = 0; m < kM; ++m)
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const Span seen = mask.seen(i0 + warp_row + 16 * m + 8 * half + g);
            const int from = seen.begin - j0 - 2 * t, to = seen.end - j0 - 2 * t;
#pragma unroll
            for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
              for (int e = 0; e < 2; ++e)
                if (8 * n + e < from || 8 * n + e >= to) s[m][n][2 * half + e] = -INFINITY;
          }
      }
      float faded[kM][2];
      if (__any_sync(kFullWarp, softmax.update(s, faded, scale_log2))) {
#pragma unroll
        for (int m = 0; m < kM; ++m)
#pragma unroll
          for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) acc[m][n][e] *= faded[m][e / 2];
      }
    }
    const BFloat16* const sv = next(step + 1);
    if (!skip) Tile::add_weighted(acc, s, sv);
  }
  copy_async_wait<0>();

  float by[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = i0 + warp_row + 16 * m + 8 * half + g;
      const Span seen = mask.seen(i);
      const bool empty = seen.begin == seen.end;
      const RowResult row = softmax.finish(m, half, float(p.scale), empty);
      by[m][half] = row.by;
      if (t == 0 && i < end) in.lse[(b * p.heads + h) * p.queries + i] = row.lse;
    }
  if (steps == 0) __syncthreads();  // the queries, which other threads have copied, are overwritten
  Tile::template store<kM>(output_head(in.y, p, b, h), i0, end, sq, warp_row,
                           [&](int m, int n, int e) { return by[m][e / 2] == 0 ? 0 : acc[m][n][e] * by[m][e / 2]; });
}

template <int kDim>
void run(Context& context, const ForwardProblem<BFloat16>& in) {
  const int64_t blocks = in.p.batch * in.p.heads * ceil_div(in.p.queries, kRows);
  launch(attention_forward_v3<kDim>, dim3(unsigned(blocks)), kMmaThreads,
         sizeof(BFloat16) * kDim * (kRows + kStages * kKeyTile<kDim>), context, in);
}

}  // namespace

bool supports_mma(const ForwardProblem<BFloat16>& in) {
  return supports_tiled(in.p) && in.p.queries < kFar / 2 && in.p.keys < kFar / 2 && aligned_rows(in.p, in.q, in.k, in.v, in.y);
}

void mma_forward(Context& context, const ForwardProblem<BFloat16>& in) {
  switch (in.p.head_dim) {
    case 32: return run<32>(context, in);
    case 64: return run<64>(context, in);
    case 128: return run<128>(context, in);
  }
}

}  // namespace graft::GRAFT_GPU
