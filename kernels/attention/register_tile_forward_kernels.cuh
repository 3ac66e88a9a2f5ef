// Version 5 of attention, forward: fp32 without tensor cores, as far as the SIMT loop goes.
//
// v2 reads 6 floats from shared memory, 6 cycles of an SM for a warp, for 8 products of the scores, which take 2: it spends a third
// of the time on arithmetic at most. Here a block of 128 threads makes 64 x 64 scores, a thread 8 rows by 4 columns, and reads
// float4 along the features: 12 of them for 128 products, 16 cycles beside 32. P v is alike, with kDim / 16 features a thread.
// What it teaches:
//   lanes      a warp has 16 rows, lanes 0 to 15 the even ones: a line is 4 floats longer than it has to be, so the 16 lines that a
//              warp reads at once, and the two rows, lie in different banks
//   P          passes through shared memory, but only inside of a warp
//   cp.async   one buffer for k and one for v: each is filled for the next tile while the other is worked on
// Masks as in version 3; tiles start at multiples of 64 keys: no bit of a row depends on the rows beside it.
#include "kernels/attention/register_tile.cuh"
#include "kernels/common/launch.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kKeys = 64, kC = kKeys / 16;

template <int kDim>
struct Smem {
  float q[kTileRows][kDim + 4], k[kKeys][kDim + 4], v[kKeys][kDim + 4], prob[kTileRows][kKeys + 4];
};

// Of the 16 lanes that share a row.
__device__ float half_warp_max(float v) {
  for (int d = 8; d > 0; d /= 2) v = fmaxf(v, __shfl_xor_sync(kFullWarp, v, d));
  return v;
}
__device__ float half_warp_sum(float v) {
  for (int d = 8; d > 0; d /= 2) v += __shfl_xor_sync(kFullWarp, v, d);
  return v;
}

template <int kDim>
__global__ void __launch_bounds__(kTileThreads, 1) attention_forward_v5(ForwardProblem<float> in) {
  auto& s = *dynamic_shared<Smem<kDim>>();
  const AttentionParams& p = in.p;
  const int tiles = int(ceil_div(p.queries, kTileRows)), i0 = (tiles - 1 - int(blockIdx.x % unsigned(tiles))) * kTileRows;
  const int64_t h = blockIdx.x / unsigned(tiles) % p.heads, b = blockIdx.x / unsigned(tiles) / p.heads;
  const Band mask = band<Rows::queries>(p, key_count(p, in.lengths, b));
  const int end = min(i0 + kTileRows, int(p.queries));
  const Span all{mask.seen(i0).begin, mask.seen(end - 1).end};
  const int first = all.begin / kKeys * kKeys;
  const auto keys = key_head(in.k, p, b, h / p.group()), values = key_head(in.v, p, b, h / p.group());
  const auto fill = [&](float(&tile)[kKeys][kDim + 4], const Head<const float>& head, int j0) {
    if (j0 < all.end) load<kDim>(tile, head, j0, all.end);
    copy_async_commit();
  };

  const int tx = int(threadIdx.x) % 16, row0 = int(threadIdx.x) / 32 * 16, own = row0 + int(threadIdx.x) / 16 % 2;  // + 2 r
  const WarpView view(mask, i0 + row0, min(i0 + row0 + 16, end));
  load<kDim>(s.q, query_head(in.q, p, b, h), i0, end);
  fill(s.k, keys, first);
  fill(s.v, values, first);

  const float scale_log2 = float(p.scale) * kLog2e;
  float acc[kR][kGroups<kDim>][kV<kDim>] = {}, highest[kR], sum[kR] = {};
#pragma unroll
  for (int r = 0; r < kR; ++r) highest[r] = -INFINITY;
  for (int j0 = first; j0 < all.end; j0 += kKeys) {
    const bool skip = view.nothing_in(j0, kKeys);
    copy_async_wait<1>();
    __syncthreads();
    if (!skip) {
      float score[kR][kC] = {};
      add_scores<kDim>(score, s.q, s.k, own);
      const bool everything = view.everything_in(j0, kKeys);
#pragma unroll
      for (int r = 0; r < kR; ++r) {
        if (!everything) {
          const Span seen = mask.seen(i0 + own + 2 * r);
#pragma unroll
          for (int c = 0; c < kC; ++c)
            if (j0 + tx + 16 * c < seen.begin || j0 + tx + 16 * c >= seen.end) score[r][c] = -INFINITY;
        }
        float top = highest[r], part = 0;
#pragma unroll
        for (int c = 0; c < kC; ++c) top = fmaxf(top, score[r][c]);
        top = half_warp_max(top);
        const float shift = finite_shift(top) * scale_log2, faded = exp2_fast(fmaf(highest[r], scale_log2, -shift));
        highest[r] = top;
#pragma unroll
        for (int c = 0; c < kC; ++c) {
          const float prob = exp2_fast(fmaf(score[r][c], scale_log2, -shift));
          s.prob[own + 2 * r][tx + 16 * c] = prob;
          part += prob;
        }
        sum[r] = sum[r] * faded + part;
#pragma unroll
        for (int n = 0; n < kGroups<kDim>; ++n)
#pragma unroll
          for (int i = 0; i < kV<kDim>; ++i) acc[r][n][i] *= faded;
      }
    }
    __syncthreads();
    fill(s.k, keys, j0 + kKeys);
    copy_async_wait<1>();
    __syncthreads();
    if (!skip) add_weighted<kDim>(acc, s.prob, s.v, own);
    __syncthreads();
    fill(s.v, values, j0 + kKeys);
  }
  copy_async_wait<0>();

#pragma unroll
  for (int r = 0; r < kR; ++r) {
    const int i = i0 + own + 2 * r;
    const float total = half_warp_sum(sum[r]);
    if (i >= end) continue;
    const Span seen = mask.seen(i);
    const bool empty = seen.begin == seen.end;
#pragma unroll
    for (int n = 0; n < kGroups<kDim>; ++n) {
#pragma unroll
      for (int e = 0; e < kV<kDim>; ++e) acc[r][n][e] = empty ? 0 : acc[r][n][e] / total;
      write(output_head(in.y, p, b, h).row(i) + (16 * n + tx) * kV<kDim>, acc[r][n]);
    }
    if (tx == 0) in.lse[(b * p.heads + h) * p.queries + i] = empty ? -INFINITY : highest[r] * float(p.scale) + logf(total);
  }
}

template <int kDim>
void run(Context& context, const ForwardProblem<float>& in) {
  const int64_t blocks = in.p.batch * in.p.heads * ceil_div(in.p.queries, kTileRows);
  launch(attention_forward_v5<kDim>, dim3(unsigned(blocks)), kTileThreads, sizeof(Smem<kDim>), context, in);
}

}  // namespace

bool supports_register_tile(const ForwardProblem<float>& in) {
  return supports_tiled(in.p) && in.p.queries < kFar / 2 && in.p.keys < kFar / 2 && aligned_rows(in.p, in.q, in.k, in.v, in.y);
}

void register_tile_forward(Context& context, const ForwardProblem<float>& in) {
  switch (in.p.head_dim) {
    case 32: return run<32>(context, in);
    case 64: return run<64>(context, in);
    case 128: return run<128>(context, in);
  }
}

}  // namespace graft::GRAFT_GPU
