// Attention forward and backward, formulas and masks in attention.h.
//   v1  one warp a row, a lane a key: scores in registers, one exchange by shuffles a key; any head_dim
//   v2  tiles in shared memory and an online softmax (FlashAttention, Dao et al. 2022; its second form, Dao 2023): a row of k
//       and v is read once for 32 or 64 queries; head_dim 32, 64, 128
// Backward has no atomics: one pass whose rows are queries makes dq, one whose rows are keys makes dk and dv.
// Emulated only: no GPU has run these kernels yet.
#include "kernels/attention/attention.h"
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kWarps = 4;  // of a v1 block: one row each
constexpr int kChunk = 4;  // v1: features of a lane at a time, 128 of a warp
constexpr int kSide = 16;  // a v2 block is kSide x kSide threads

enum class Rows { queries, keys };

// One head: rows of head_dim floats, `step` apart.
struct Head {
  const float* data;
  int64_t step;
  __device__ const float* row(int64_t t) const { return data + t * step; }
};
__device__ Head query_head(const float* q, const AttentionParams& p, int64_t b, int64_t h) {
  return {q + (b * p.queries * p.heads + h) * p.head_dim, p.heads * p.head_dim};
}
__device__ Head key_head(const float* k, const AttentionParams& p, int64_t b, int64_t kv) {
  return {k + (b * p.keys * p.kv_heads + kv) * p.head_dim, p.kv_heads * p.head_dim};
}

__device__ float dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t d = 0; d < n; ++d) sum = fmaf(a[d], b[d], sum);
  return sum;
}

// Where the running maximum is still -inf the shift is 0: exp(-inf - 0) = 0, where -inf - -inf would be NaN.
__device__ float finite_shift(float max) { return max == -INFINITY ? 0 : max; }

__global__ void __launch_bounds__(32 * kWarps) attention_forward_v1(float* y, float* lse, const float* q, const float* k,
                                                                    const float* v, const int64_t* lengths, AttentionParams p) {
  const int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.y;
  if (row >= p.batch * p.heads * p.queries) return;  // the whole warp
  const int64_t i = row % p.queries, h = row / p.queries % p.heads, b = row / p.queries / p.heads;
  const Interval seen = seen_keys(p, i, key_count(p, lengths, b));
  const Head keys = key_head(k, p, b, h / p.group()), values = key_head(v, p, b, h / p.group());
  const float* qi = query_head(q, p, b, h).row(i);
  const int lane = int(threadIdx.x);
  for (int64_t d0 = 0; d0 < p.head_dim; d0 += 32 * kChunk) {
    float max = -INFINITY, sum = 0, acc[kChunk] = {};
    for (int64_t j0 = seen.begin; j0 < seen.end; j0 += 32) {
      const bool inside = j0 + lane < seen.end;
      const float s = inside ? float(p.scale) * dot(qi, keys.row(j0 + lane), p.head_dim) : -INFINITY;
      const float highest = max_nan(max, warp_max(s)), shift = finite_shift(highest);
      const float prob = inside ? expf(s - shift) : 0, faded = expf(max - shift);
      sum = sum * faded + warp_sum(prob);
      max = highest;
#pragma unroll
      for (int c = 0; c < kChunk; ++c) acc[c] *= faded;
      for (int j = 0; j < 32 && j0 + j < seen.end; ++j) {
        const float pj = __shfl_sync(kFullWarp, prob, j);
#pragma unroll
        for (int c = 0; c < kChunk; ++c) {
          const int64_t d = d0 + lane + 32 * c;
          if (d < p.head_dim) acc[c] = fmaf(pj, values.row(j0 + j)[d], acc[c]);
        }
      }
    }
    const bool empty = seen.begin == seen.end;
    float* yi = y + (query_head(q, p, b, h).row(i) - q);
#pragma unroll
    for (int c = 0; c < kChunk; ++c) {
      const int64_t d = d0 + lane + 32 * c;
      if (d < p.head_dim) yi[d] = empty ? 0 : acc[c] / sum;
    }
    if (d0 == 0 && lane == 0) lse[row] = empty ? -INFINITY : max + logf(sum);
  }
}

// delta[batch, heads, queries] = dy . y: a warp a query.
__global__ void __launch_bounds__(32 * kWarps) attention_delta(float* delta, const float* dy, const float* y, AttentionParams p) {
  const int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.y;
  if (row >= p.batch * p.heads * p.queries) return;
  const int64_t i = row % p.queries, h = row / p.queries % p.heads, b = row / p.queries / p.heads;
  const float *g = query_head(dy, p, b, h).row(i), *o = query_head(y, p, b, h).row(i);
  float sum = 0;
  for (int64_t d = threadIdx.x; d < p.head_dim; d += 32) sum = fmaf(g[d], o[d], sum);
  sum = warp_sum(sum);
  if (threadIdx.x == 0) delta[row] = sum;
}

// What both backward kernels read. Rows are queries (q, dy) against a stream of keys (k, v), or keys against queries.
struct BackwardInputs {
  const float *dy, *q, *k, *v, *lse, *delta;
  const int64_t* lengths;
  AttentionParams p;

  template <Rows kRows>
  __device__ int64_t rows() const {
    return kRows == Rows::queries ? p.queries : p.keys;
  }
  template <Rows kRows>
  __device__ int64_t heads() const {
    return kRows == Rows::queries ? p.heads : p.kv_heads;
  }
  template <Rows kRows>
  __device__ Interval seen(int64_t b, int64_t t) const {
    const int64_t count = key_count(p, lengths, b);
    if (kRows == Rows::queries) return seen_keys(p, t, count);
    return t < count ? seeing_queries(p, t) : Interval{0, 0};
  }
};

template <Rows kRows>
__global__ void __launch_bounds__(32 * kWarps) attention_backward_v1(float* d_first, float* d_second, BackwardInputs in) {
  const AttentionParams& p = in.p;
  const int64_t length = in.rows<kRows>(), heads = in.heads<kRows>(), row = int64_t(blockIdx.x) * kWarps + threadIdx.y;
  if (row >= p.batch * heads * length) return;
  const int64_t t = row % length, own = row / length % heads, b = row / length / heads;
  const Interval seen = in.seen<kRows>(b, t);
  const int64_t group = kRows == Rows::queries ? 1 : p.group();
  const int lane = int(threadIdx.x);
  for (int64_t d0 = 0; d0 < p.head_dim; d0 += 32 * kChunk) {
    float acc1[kChunk] = {}, acc2[kChunk] = {};
    for (int64_t g = 0; g < group; ++g) {
      const int64_t h = own * group + g, kv = h / p.group();
      const Head q = query_head(in.q, p, b, h), dy = query_head(in.dy, p, b, h), k = key_head(in.k, p, b, kv),
                 v = key_head(in.v, p, b, kv);
      for (int64_t s0 = seen.begin; s0 < seen.end; s0 += 32) {
        float prob = 0, ds = 0;
        if (s0 + lane < seen.end) {
          const int64_t i = kRows == Rows::queries ? t : s0 + lane, j = kRows == Rows::queries ? s0 + lane : t;
          const int64_t query = (b * p.heads + h) * p.queries + i;
          prob = expf(float(p.scale) * dot(q.row(i), k.row(j), p.head_dim) - in.lse[query]);
          ds = float(p.scale) * prob * (dot(dy.row(i), v.row(j), p.head_dim) - in.delta[query]);
        }
        for (int s = 0; s < 32 && s0 + s < seen.end; ++s) {
          const float prob_s = __shfl_sync(kFullWarp, prob, s), ds_s = __shfl_sync(kFullWarp, ds, s);
          const float *first = (kRows == Rows::queries ? k : q).row(s0 + s), *second = dy.row(kRows == Rows::queries ? 0 : s0 + s);
#pragma unroll
          for (int c = 0; c < kChunk; ++c) {
            const int64_t d = d0 + lane + 32 * c;
            if (d >= p.head_dim) continue;
            acc1[c] = fmaf(ds_s, first[d], acc1[c]);
            if (kRows == Rows::keys) acc2[c] = fmaf(prob_s, second[d], acc2[c]);
          }
        }
      }
    }
    const int64_t out = ((b * length + t) * heads + own) * p.head_dim;
#pragma unroll
    for (int c = 0; c < kChunk; ++c) {
      const int64_t d = d0 + lane + 32 * c;
      if (d >= p.head_dim) continue;
      d_first[out + d] = acc1[c];
      if (kRows == Rows::keys) d_second[out + d] = acc2[c];
    }
  }
}

// Tiles have a column more than they use (kPitch): reading along a row and along a column both meet every bank.

// Rows [t0, end) of a head into a tile; what is missing of it is zero. By all threads of a v2 block.
template <int kRows, int kPitch>
__device__ void load_tile(float (&tile)[kRows][kPitch], const Head& head, int64_t t0, int64_t end) {
  constexpr int kDim = kPitch - 1;
  for (int at = int(threadIdx.x + kSide * threadIdx.y); at < kRows * kDim; at += kSide * kSide) {
    const int r = at / kDim, d = at % kDim;
    tile[r][d] = t0 + r < end ? head.row(t0 + r)[d] : 0;
  }
}

// out[r][c] += a[row r] . b[row c] over the features: rows ty + 16 r, columns tx + 16 c.
template <int kR, int kC, int kRowsA, int kRowsB, int kPitch>
__device__ void add_scores(float (&out)[kR][kC], const float (&a)[kRowsA][kPitch], const float (&b)[kRowsB][kPitch]) {
#pragma unroll 4
  for (int d = 0; d < kPitch - 1; ++d) {
    float bd[kC];
#pragma unroll
    for (int c = 0; c < kC; ++c) bd[c] = b[int(threadIdx.x) + kSide * c][d];
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      const float ad = a[int(threadIdx.y) + kSide * r][d];
#pragma unroll
      for (int c = 0; c < kC; ++c) out[r][c] = fmaf(ad, bd[c], out[r][c]);
    }
  }
}

// out[r][c] += sum over the rows j of b of weight[row r][j] b[j][feature c].
template <int kR, int kC, int kRowsA, int kRowsB, int kPitchA, int kPitchB>
__device__ void add_weighted(float (&out)[kR][kC], const float (&weight)[kRowsA][kPitchA], const float (&b)[kRowsB][kPitchB]) {
#pragma unroll 4
  for (int j = 0; j < kRowsB; ++j) {
    float bj[kC];
#pragma unroll
    for (int c = 0; c < kC; ++c) bj[c] = b[j][int(threadIdx.x) + kSide * c];
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      const float w = weight[int(threadIdx.y) + kSide * r][j];
#pragma unroll
      for (int c = 0; c < kC; ++c) out[r][c] = fmaf(w, bj[c], out[r][c]);
    }
  }
}

// Over the 16 threads of one row.
__device__ float row_max(float v) {
  for (int d = kSide / 2; d > 0; d /= 2) v = max_nan(v, __shfl_xor_sync(kFullWarp, v, d));
  return v;
}
__device__ float row_sum(float v) {
  for (int d = kSide / 2; d > 0; d /= 2) v += __shfl_xor_sync(kFullWarp, v, d);
  return v;
}

constexpr int kKeyTile = 32;
template <int kDim>
constexpr int kQueryTile = kDim == 128 ? 32 : 64;  // 48 KB of shared memory hold it

template <int kDim>
__global__ void __launch_bounds__(kSide* kSide) attention_forward_v2(float* y, float* lse, const float* q, const float* k,
                                                                     const float* v, const int64_t* lengths, AttentionParams p) {
  constexpr int kRows = kQueryTile<kDim>, kR = kRows / kSide, kC = kKeyTile / kSide, kF = kDim / kSide;
  struct Smem {
    float q[kRows][kDim + 1], kv[kKeyTile][kDim + 1], prob[kRows][kKeyTile + 1];
  };
  auto& s = shared<Smem>();
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  const int64_t tiles = ceil_div(p.queries, kRows), i0 = blockIdx.x % tiles * kRows, h = blockIdx.x / tiles % p.heads,
                b = blockIdx.x / tiles / p.heads;
  const int64_t count = key_count(p, lengths, b), last = (i0 + kRows < p.queries ? i0 + kRows : p.queries) - 1;
  const int64_t begin = seen_keys(p, i0, count).begin, end = seen_keys(p, last, count).end;
  const Head keys = key_head(k, p, b, h / p.group()), values = key_head(v, p, b, h / p.group());
  load_tile(s.q, query_head(q, p, b, h), i0, p.queries);

  float acc[kR][kF] = {}, max[kR], sum[kR] = {};
#pragma unroll
  for (int r = 0; r < kR; ++r) max[r] = -INFINITY;
  for (int64_t j0 = begin; j0 < end; j0 += kKeyTile) {
    __syncthreads();
    load_tile(s.kv, keys, j0, end);
    __syncthreads();
    float score[kR][kC] = {};
    add_scores(score, s.q, s.kv);
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      const Interval seen = seen_keys(p, i0 + ty + kSide * r, count);
      float highest = max[r], part = 0;
      bool inside[kC];
#pragma unroll
      for (int c = 0; c < kC; ++c) {
        const int64_t j = j0 + tx + kSide * c;
        inside[c] = j >= seen.begin && j < seen.end;
        score[r][c] = inside[c] ? score[r][c] * float(p.scale) : -INFINITY;
        highest = max_nan(highest, score[r][c]);
      }
      highest = row_max(highest);
      const float shift = finite_shift(highest), faded = expf(max[r] - shift);
#pragma unroll
      for (int c = 0; c < kC; ++c) {
        const float prob = inside[c] ? expf(score[r][c] - shift) : 0;
        s.prob[ty + kSide * r][tx + kSide * c] = prob;
        part += prob;
      }
      sum[r] = sum[r] * faded + row_sum(part);
      max[r] = highest;
#pragma unroll
      for (int c = 0; c < kF; ++c) acc[r][c] *= faded;
    }
    __syncthreads();
    load_tile(s.kv, values, j0, end);
    __syncthreads();
    add_weighted(acc, s.prob, s.kv);
  }
#pragma unroll
  for (int r = 0; r < kR; ++r) {
    const int64_t i = i0 + ty + kSide * r;
    if (i >= p.queries) continue;
    const Interval seen = seen_keys(p, i, count);
    const bool empty = seen.begin == seen.end;
#pragma unroll
    for (int c = 0; c < kF; ++c) y[((b * p.queries + i) * p.heads + h) * kDim + tx + kSide * c] = empty ? 0 : acc[r][c] / sum[r];
    if (tx == 0) lse[(b * p.heads + h) * p.queries + i] = empty ? -INFINITY : max[r] + logf(sum[r]);
  }
}

template <int kDim>
constexpr int kGradTile = kDim == 128 ? 16 : 32;

template <Rows kRows, int kDim>
__global__ void __launch_bounds__(kSide* kSide) attention_backward_v2(float* d_first, float* d_second, BackwardInputs in) {
  constexpr int kT = kGradTile<kDim>, kR = kT / kSide, kF = kDim / kSide;
  struct Smem {
    float own1[kT][kDim + 1], own2[kT][kDim + 1], stream1[kT][kDim + 1], stream2[kT][kDim + 1], prob[kT][kT + 1], ds[kT][kT + 1];
  };
  auto& s = shared<Smem>();
  const AttentionParams& p = in.p;
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  const int64_t length = in.rows<kRows>(), heads = in.heads<kRows>(), tiles = ceil_div(length, kT);
  const int64_t t0 = blockIdx.x % tiles * kT, own = blockIdx.x / tiles % heads, b = blockIdx.x / tiles / heads;
  const int64_t count = key_count(p, in.lengths, b), rows = kRows == Rows::queries ? p.queries : count;
  const int64_t last = (t0 + kT < rows ? t0 + kT : rows) - 1;
  Interval all{0, 0};
  if (last >= t0) all = {in.seen<kRows>(b, t0).begin, in.seen<kRows>(b, last).end};

  float acc1[kR][kF] = {}, acc2[kR][kF] = {};
  const int64_t group = kRows == Rows::queries ? 1 : p.group();
  for (int64_t g = 0; g < group; ++g) {
    const int64_t h = own * group + g, kv = h / p.group(), lse_row = (b * p.heads + h) * p.queries;
    const Head q = query_head(in.q, p, b, h), dy = query_head(in.dy, p, b, h), k = key_head(in.k, p, b, kv),
               v = key_head(in.v, p, b, kv);
    for (int64_t s0 = all.begin; s0 < all.end; s0 += kT) {
      __syncthreads();
      if (g == 0 && s0 == all.begin) {
        load_tile(s.own1, kRows == Rows::queries ? q : k, t0, rows);
        load_tile(s.own2, kRows == Rows::queries ? dy : v, t0, rows);
      }
      load_tile(s.stream1, kRows == Rows::queries ? k : q, s0, all.end);
      load_tile(s.stream2, kRows == Rows::queries ? v : dy, s0, all.end);
      __syncthreads();
      float score[kR][kR] = {}, dp[kR][kR] = {};
      add_scores(score, s.own1, s.stream1);
      add_scores(dp, s.own2, s.stream2);
#pragma unroll
      for (int r = 0; r < kR; ++r) {
        const int64_t t = t0 + ty + kSide * r;
        const Interval seen = t < rows ? in.seen<kRows>(b, t) : Interval{0, 0};
#pragma unroll
        for (int c = 0; c < kR; ++c) {
          const int64_t other = s0 + tx + kSide * c;
          float prob = 0, ds = 0;
          if (other >= seen.begin && other < seen.end) {
            const int64_t query = lse_row + (kRows == Rows::queries ? t : other);
            prob = expf(float(p.scale) * score[r][c] - in.lse[query]);
            ds = float(p.scale) * prob * (dp[r][c] - in.delta[query]);
          }
          if (kRows == Rows::keys) s.prob[ty + kSide * r][tx + kSide * c] = prob;
          s.ds[ty + kSide * r][tx + kSide * c] = ds;
        }
      }
      __syncthreads();
      add_weighted(acc1, s.ds, s.stream1);
      if (kRows == Rows::keys) add_weighted(acc2, s.prob, s.stream2);
    }
  }
#pragma unroll
  for (int r = 0; r < kR; ++r) {
    const int64_t t = t0 + ty + kSide * r;
    if (t >= length) continue;
#pragma unroll
    for (int c = 0; c < kF; ++c) {
      const int64_t out = ((b * length + t) * heads + own) * kDim + tx + kSide * c;
      d_first[out] = acc1[r][c];
      if (kRows == Rows::keys) d_second[out] = acc2[r][c];
    }
  }
}

template <int kDim>
void forward_v2(Context& context, float* y, float* lse, const float* q, const float* k, const float* v, const int64_t* lengths,
                const AttentionParams& p) {
  const int64_t blocks = p.batch * p.heads * ceil_div(p.queries, kQueryTile<kDim>);
  if (blocks)
    launch(attention_forward_v2<kDim>, dim3(unsigned(blocks)), dim3(kSide, kSide), 0, context, y, lse, q, k, v, lengths, p);
}

template <Rows kRows>
void backward(Context& context, float* d_first, float* d_second, const BackwardInputs& in) {
  const AttentionParams& p = in.p;
  const int64_t length = kRows == Rows::queries ? p.queries : p.keys, heads = kRows == Rows::queries ? p.heads : p.kv_heads;
  if (p.batch * heads * length == 0) return;
  const auto tiled = [&]<int kDim>() {
    launch(attention_backward_v2<kRows, kDim>, dim3(unsigned(p.batch * heads * ceil_div(length, kGradTile<kDim>))),
           dim3(kSide, kSide), 0, context, d_first, d_second, in);
  };
  switch (p.head_dim) {
    case 32: return tiled.template operator()<32>();
    case 64: return tiled.template operator()<64>();
    case 128: return tiled.template operator()<128>();
  }
  launch(attention_backward_v1<kRows>, dim3(unsigned(ceil_div(p.batch * heads * length, kWarps))), dim3(32, kWarps), 0, context,
         d_first, d_second, in);
}

}  // namespace

void attention_forward(Context& context, float* y, float* lse, const float* q, const float* k, const float* v,
                       const int64_t* lengths, const AttentionParams& p) {
  switch (p.head_dim) {
    case 32: return forward_v2<32>(context, y, lse, q, k, v, lengths, p);
    case 64: return forward_v2<64>(context, y, lse, q, k, v, lengths, p);
    case 128: return forward_v2<128>(context, y, lse, q, k, v, lengths, p);
  }
  const int64_t rows = p.batch * p.heads * p.queries;
  if (rows)
    launch(attention_forward_v1, dim3(unsigned(ceil_div(rows, kWarps))), dim3(32, kWarps), 0, context, y, lse, q, k, v, lengths, p);
}

void attention_backward(Context& context, float* dq, float* dk, float* dv, const float* dy, const float* q, const float* k,
                        const float* v, const float* y, const float* lse, const int64_t* lengths, const AttentionParams& p) {
  const int64_t rows = p.batch * p.heads * p.queries;
  const auto delta = device_scratch<float>(context, size_t(rows));
  if (rows) launch(attention_delta, dim3(unsigned(ceil_div(rows, kWarps))), dim3(32, kWarps), 0, context, delta.get(), dy, y, p);
  const BackwardInputs in{dy, q, k, v, lse, delta.get(), lengths, p};
  backward<Rows::queries>(context, dq, nullptr, in);
  backward<Rows::keys>(context, dk, dv, in);
}

GRAFT_KERNEL(attention, forward, GRAFT_GPU, float, AttentionForward);
GRAFT_KERNEL(attention, backward, GRAFT_GPU, float, AttentionBackward);

}  // namespace graft::GRAFT_GPU
