// Version 3 of attention, backward: both passes of heads.cuh on tensor cores by mma.sync, bf16 tensors, no atomics.
//
// A block of 4 warps owns a tile of rows in shared memory, a warp 16 or 32 of them; tiles of the stream come in two buffers by
// cp.async, one barrier a tile, through all query heads of a key head one after the other. A step is
//   score = own_first first^T, dp = own_second second^T    rows by rows of the stream, both in registers
//   P = exp(scale score - lse), dS = P (dp - delta)         in place; what mma returns is what it takes next (mma_tile.cuh)
//   d_first += dS first, and for keys d_second += P second
// What it teaches: with keys as rows the first product is already the transpose that dk and dv need, so neither pass moves P or
// dS through shared memory. lse and delta belong to a row of one pass, and to a column of the other, where they travel with the
// stream; behind the last query lse is +inf, which makes P zero without a test.
#include "kernels/attention/mma_tile.cuh"
#include "kernels/attention/online_softmax.cuh"
#include "kernels/common/launch.h"

namespace graft::GRAFT_GPU {
namespace {

// What 255 registers hold: 8 kM kStream / 8 of scores and dp, kM kDim / 2 of each gradient.
template <int kDim, Rows kRows>
struct Sizes {
  static constexpr bool kKeys = kRows == Rows::keys;
  static constexpr int kM = kDim == 128 && kKeys ? 1 : 2, kStream = 32;
  static constexpr int kOwn = kMmaWarps * 16 * kM;
  static constexpr int kTile = kStream * kDim;  // of the stream, in elements
  static constexpr int kStage = 2 * kTile + (kKeys ? kStream * int(sizeof(RowStatistics) / 2) : 0);
  static constexpr size_t kBytes = sizeof(BFloat16) * (2 * kOwn * kDim + 2 * kStage);
};

template <int kDim, Rows kRows>
__global__ void __launch_bounds__(kMmaThreads, 1) attention_backward_v3(Backward<BFloat16, kRows> in) {
  using Tile = MmaTile<kDim>;
  using Size = Sizes<kDim, kRows>;
  constexpr bool kKeys = Size::kKeys;
  constexpr int kM = Size::kM, kStream = Size::kStream;
  const AttentionParams& p = in.p;
  BFloat16 *const own_first = dynamic_shared<BFloat16>(), *const own_second = own_first + Size::kOwn * kDim,
                  *const stages = own_second + Size::kOwn * kDim;
  const int tiles = int(ceil_div(in.length(), Size::kOwn)), t0 = int(blockIdx.x % unsigned(tiles)) * Size::kOwn;
  const int64_t own = blockIdx.x / unsigned(tiles) % in.heads(), b = blockIdx.x / unsigned(tiles) / in.heads();
  const int live = int(in.live(b)), end = min(t0 + Size::kOwn, live);
  const Band mask = band<kRows>(p, kKeys ? p.queries : key_count(p, in.lengths, b));
  const Span all = t0 < end ? Span{mask.seen(t0).begin, mask.seen(end - 1).end} : Span{0, 0};
  const int first = all.begin / kStream, along = all.begin < all.end ? (all.end + kStream - 1) / kStream - first : 0;
  const int steps = along * int(in.group());
  const auto stage = [=](int step) { return stages + step % 2 * Size::kStage; };
  const auto fill = [&](int step) {
    if (step < steps) {
      const auto a = in.arrays(b, own, step / along);
      const int s0 = (first + step % along) * kStream;
      BFloat16* const s = stage(step);
      Tile::template load<kStream>(s, a.first, s0, all.end);
      Tile::template load<kStream>(s + Size::kTile, a.second, s0, all.end);
      if (kKeys && threadIdx.x < kStream / 2)
        copy_async_16(s + 2 * Size::kTile + 8 * threadIdx.x, a.statistics + s0 + 2 * threadIdx.x);
    }
    copy_async_commit();
  };

  const int warp_row = int(threadIdx.x) / 32 * 16 * kM, lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const WarpView view(mask, t0 + warp_row, min(t0 + warp_row + 16 * kM, end));
  const auto a = in.arrays(b, own, 0);
  Tile::template load<Size::kOwn>(own_first, a.own_first, t0, end);
  Tile::template load<Size::kOwn>(own_second, a.own_second, t0, end);
  fill(0);
  float row_lse[kM][2], row_delta[kM][2];
  if constexpr (!kKeys) {
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int i = t0 + warp_row + 16 * m + 8 * half + g;
        const RowStatistics s = i < end ? a.statistics[i] : RowStatistics{INFINITY, 0};
        row_lse[m][half] = s.lse * kLog2e, row_delta[m][half] = s.delta;
      }
  }

  const float scale_log2 = float(p.scale) * kLog2e;
  float d_first[kM][kDim / 8][4] = {}, d_second[kKeys ? kM : 1][kDim / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<0>();
    __syncthreads();
    fill(step + 1);
    const int s0 = (first + step % along) * kStream;
    if (view.nothing_in(s0, kStream)) continue;
    const BFloat16 *const s_first = stage(step), *const s_second = s_first + Size::kTile;
    const auto* statistics = reinterpret_cast<const float4*>(s_first + 2 * Size::kTile);  // of two queries each
    float prob[kM][kStream / 8][4] = {}, ds[kM][kStream / 8][4] = {};
    Tile::add_scores(prob, own_first, warp_row, s_first);
    Tile::add_scores(ds, own_second, warp_row, s_second);
    const bool everything = view.everything_in(s0, kStream);
#pragma unroll
    for (int n = 0; n < kStream / 8; ++n) {
      float4 columns;
      if constexpr (kKeys) columns = statistics[4 * n + t];
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float lse = kKeys ? (e % 2 ? columns.z : columns.x) * kLog2e : row_lse[m][e / 2];
          const float delta = kKeys ? (e % 2 ? columns.w : columns.y) : row_delta[m][e / 2];
          prob[m][n][e] = exp2_fast(fmaf(prob[m][n][e], scale_log2, -lse));
          ds[m][n][e] = prob[m][n][e] * (ds[m][n][e] - delta);
        }
    }
    if (!everything) {
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const Span seen = mask.seen(t0 + warp_row + 16 * m + 8 * half + g);
          const int from = seen.begin - s0 - 2 * t, to = seen.end - s0 - 2 * t;
#pragma unroll
          for (int n = 0; n < kStream / 8; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
              if (8 * n + e < from || 8 * n + e >= to) prob[m][n][2 * half + e] = ds[m][n][2 * half + e] = 0;
        }
    }
    Tile::add_weighted(d_first, ds, s_first);
    if constexpr (kKeys) Tile::add_weighted(d_second, prob, s_second);
  }
  copy_async_wait<0>();
  if (steps == 0) __syncthreads();  // own rows, which other threads have copied, are overwritten

  const int length = int(in.length());
  const auto live_row = [&](int m, int e) { return t0 + warp_row + 16 * m + e / 2 * 8 + g < live; };
  Tile::template store<kM>(in.d_first(b, own), t0, length, own_first, warp_row,
                           [&](int m, int n, int e) { return live_row(m, e) ? d_first[m][n][e] * float(p.scale) : 0; });
  if constexpr (kKeys)
    Tile::template store<kM>(in.d_second(b, own), t0, length, own_second, warp_row,
                             [&](int m, int n, int e) { return live_row(m, e) ? d_second[m][n][e] : 0; });
}

template <int kDim, Rows kRows>
void run(Context& context, const BackwardProblem<BFloat16>& problem) {
  const Backward<BFloat16, kRows> in{problem};
  using Size = Sizes<kDim, kRows>;
  const int64_t blocks = in.p.batch * in.heads() * ceil_div(in.length(), Size::kOwn);
  if (blocks) launch(attention_backward_v3<kDim, kRows>, dim3(unsigned(blocks)), kMmaThreads, Size::kBytes, context, in);
}
template <int kDim>
void run(Context& context, const BackwardProblem<BFloat16>& in) {
  run<kDim, Rows::queries>(context, in);
  run<kDim, Rows::keys>(context, in);
}

}  // namespace

bool supports_mma(const BackwardProblem<BFloat16>& in) {
  return supports_tiled(in.p) && in.p.queries < kFar / 2 && in.p.keys < kFar / 2 &&
         aligned_rows(in.p, in.dq, in.dk, in.dv, in.dy, in.q, in.k, in.v);
}

void mma_backward(Context& context, const BackwardProblem<BFloat16>& in) {
  switch (in.p.head_dim) {
    case 32: return run<32>(context, in);
    case 64: return run<64>(context, in);
    case 128: return run<128>(context, in);
  }
}

}  // namespace graft::GRAFT_GPU
