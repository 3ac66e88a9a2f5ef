// Version 2 of attention: tiles in shared memory and an online softmax (FlashAttention, Dao et al. 2022; its second form, Dao
// 2023). A block of 16 x 16 threads owns a tile of rows and walks over tiles of the stream; a thread makes rows ty + 16 r and
// columns tx + 16 c of the scores, and the same rows of features tx + 16 c. fp32 in shared memory and registers.
#include "kernels/attention/heads.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kSide = 16;

// Tiles have a column more than they use (kPitch): reading along a row and along a column both meet every bank.

// Rows [t0, end) of a head into a tile; what is missing of it is zero. By all threads of a v2 block.
template <int kRows, int kPitch, class T>
__device__ void load_tile(float (&tile)[kRows][kPitch], const Head<const T>& head, int64_t t0, int64_t end) {
  constexpr int kDim = kPitch - 1;
  for (int at = int(threadIdx.x + kSide * threadIdx.y); at < kRows * kDim; at += kSide * kSide) {
    const int r = at / kDim, d = at % kDim;
    tile[r][d] = t0 + r < end ? to_float(head.row(t0 + r)[d]) : 0;
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

template <class T, int kDim>
__global__ void __launch_bounds__(kSide* kSide) attention_forward_v2(ForwardProblem<T> in) {
  constexpr int kRows = kQueryTile<kDim>, kR = kRows / kSide, kC = kKeyTile / kSide, kF = kDim / kSide;
  struct Smem {
    float q[kRows][kDim + 1], kv[kKeyTile][kDim + 1], prob[kRows][kKeyTile + 1];
  };
  auto& s = shared<Smem>();
  const AttentionParams& p = in.p;
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  const int64_t tiles = ceil_div(p.queries, kRows), i0 = blockIdx.x % tiles * kRows, h = blockIdx.x / tiles % p.heads,
                b = blockIdx.x / tiles / p.heads;
  const int64_t count = key_count(p, in.lengths, b), last = (i0 + kRows < p.queries ? i0 + kRows : p.queries) - 1;
  const int64_t begin = seen_keys(p, i0, count).begin, end = seen_keys(p, last, count).end;
  const auto keys = key_head(in.k, p, b, h / p.group()), values = key_head(in.v, p, b, h / p.group());
  load_tile(s.q, query_head(in.q, p, b, h), i0, p.queries);

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
    for (int c = 0; c < kF; ++c) output_head(in.y, p, b, h).row(i)[tx + kSide * c] = from_float<T>(empty ? 0 : acc[r][c] / sum[r]);
    if (tx == 0) in.lse[(b * p.heads + h) * p.queries + i] = empty ? -INFINITY : max[r] + logf(sum[r]);
  }
}

template <int kDim>
constexpr int kGradTile = kDim == 128 ? 16 : 32;

template <class T, Rows kRows, int kDim>
__global__ void __launch_bounds__(kSide* kSide, 1) attention_backward_v2(Backward<T, kRows> in) {
  constexpr int kT = kGradTile<kDim>, kR = kT / kSide, kF = kDim / kSide;
  struct Smem {
    float own_first[kT][kDim + 1], own_second[kT][kDim + 1], first[kT][kDim + 1], second[kT][kDim + 1], prob[kT][kT + 1],
        ds[kT][kT + 1];
  };
  auto& s = shared<Smem>();
  const AttentionParams& p = in.p;
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  const int64_t length = in.length(), heads = in.heads(), tiles = ceil_div(length, kT);
  const int64_t t0 = blockIdx.x % tiles * kT, own = blockIdx.x / tiles % heads, b = blockIdx.x / tiles / heads;
  const int64_t live = in.live(b), last = (t0 + kT < live ? t0 + kT : live) - 1;
  Interval all{0, 0};
  if (last >= t0) all = {in.seen(b, t0).begin, in.seen(b, last).end};

  float acc1[kR][kF] = {}, acc2[kR][kF] = {};
  for (int64_t g = 0; g < in.group(); ++g) {
    const auto a = in.arrays(b, own, g);
    for (int64_t s0 = all.begin; s0 < all.end; s0 += kT) {
      __syncthreads();
      if (g == 0 && s0 == all.begin) {
        load_tile(s.own_first, a.own_first, t0, live);
        load_tile(s.own_second, a.own_second, t0, live);
      }
      load_tile(s.first, a.first, s0, all.end);
      load_tile(s.second, a.second, s0, all.end);
      __syncthreads();
      float score[kR][kR] = {}, dp[kR][kR] = {};
      add_scores(score, s.own_first, s.first);
      add_scores(dp, s.own_second, s.second);
#pragma unroll
      for (int r = 0; r < kR; ++r) {
        const int64_t t = t0 + ty + kSide * r;
        const Interval seen = t < live ? in.seen(b, t) : Interval{0, 0};
#pragma unroll
        for (int c = 0; c < kR; ++c) {
          const int64_t other = s0 + tx + kSide * c;
          float prob = 0, ds = 0;
          if (other >= seen.begin && other < seen.end) {
            const RowStatistics query = a.statistics[kRows == Rows::queries ? t : other];
            prob = expf(float(p.scale) * score[r][c] - query.lse);
            ds = float(p.scale) * prob * (dp[r][c] - query.delta);
          }
          if (kRows == Rows::keys) s.prob[ty + kSide * r][tx + kSide * c] = prob;
          s.ds[ty + kSide * r][tx + kSide * c] = ds;
        }
      }
      __syncthreads();
      add_weighted(acc1, s.ds, s.first);
      if (kRows == Rows::keys) add_weighted(acc2, s.prob, s.second);
    }
  }
#pragma unroll
  for (int r = 0; r < kR; ++r) {
    const int64_t t = t0 + ty + kSide * r;
    if (t >= length) continue;
#pragma unroll
    for (int c = 0; c < kF; ++c) {
      in.d_first(b, own).row(t)[tx + kSide * c] = from_float<T>(acc1[r][c]);
      if (kRows == Rows::keys) in.d_second(b, own).row(t)[tx + kSide * c] = from_float<T>(acc2[r][c]);
    }
  }
}

template <class F>
void with_dim(int64_t head_dim, F f) {
  switch (head_dim) {
    case 32: return f.template operator()<32>();
    case 64: return f.template operator()<64>();
    case 128: return f.template operator()<128>();
  }
}

template <class T>
void forward(Context& context, const ForwardProblem<T>& in) {
  with_dim(in.p.head_dim, [&]<int kDim>() {
    const int64_t blocks = in.p.batch * in.p.heads * ceil_div(in.p.queries, kQueryTile<kDim>);
    if (blocks) launch(attention_forward_v2<T, kDim>, dim3(unsigned(blocks)), dim3(kSide, kSide), 0, context, in);
  });
}

template <Rows kRows, class T>
void backward(Context& context, const BackwardProblem<T>& problem) {
  const Backward<T, kRows> in{problem};
  with_dim(in.p.head_dim, [&]<int kDim>() {
    const int64_t blocks = in.p.batch * in.heads() * ceil_div(in.length(), kGradTile<kDim>);
    if (blocks) launch(attention_backward_v2<T, kRows, kDim>, dim3(unsigned(blocks)), dim3(kSide, kSide), 0, context, in);
  });
}
template <class T>
void backward(Context& context, const BackwardProblem<T>& in) {
  backward<Rows::queries>(context, in);
  backward<Rows::keys>(context, in);
}

}  // namespace

bool supports_tiled(const AttentionParams& p) { return p.head_dim == 32 || p.head_dim == 64 || p.head_dim == 128; }
void tiled_forward(Context& context, const ForwardProblem<float>& in) { forward(context, in); }
void tiled_forward(Context& context, const ForwardProblem<BFloat16>& in) { forward(context, in); }
void tiled_backward(Context& context, const BackwardProblem<float>& in) { backward(context, in); }
void tiled_backward(Context& context, const BackwardProblem<BFloat16>& in) { backward(context, in); }

}  // namespace graft::GRAFT_GPU
