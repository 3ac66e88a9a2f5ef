// Attention forward and backward on the GPU; formulas and masks in attention.h.
//
// | version | accepts | what it teaches |
// |---|---|---|
// | v1 row by row | all | a warp a row, a lane a key: scores in registers, one exchange by shuffles a key, no shared memory |
// | v2 tiled | head_dim 32, 64, 128 | tiled_kernels.cuh: online softmax over tiles: k and v are read once for 32 or 64 queries |
// | v3 mma | bf16, head_dim 32, 64, 128, arrays at 16 bytes | mma_*_kernels.cuh: tensor cores, scores that never leave registers |
// | v4 wgmma | bf16, sm_90, head_dim 64, 128 | wgmma_*_kernels.cuh: TMA ring, producer and consumers, ping-pong |
// | v5 register tile | fp32, head_dim 32, 64, 128, arrays at 16 bytes | register_tile_*.cuh: 8 x 4 scores a thread, float4 reads |
//
// Backward has no atomics: one pass whose rows are queries makes dq, one whose rows are keys makes dk and dv (heads.cuh). So
// scores are made twice, and every sum has one order. fp32 and bf16 tensors; sums and the softmax are fp32.
#include "kernels/attention/heads.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kWarps = 4;  // of a block: a row each
constexpr int kChunk = 4;  // features of a lane at a time, 128 of a warp
// A launch bound of one block: without it ptxas spills some bytes for the sake of more warps.

template <class T>
__device__ float dot(const T* a, const T* b, int64_t n) {
  float sum = 0;
  for (int64_t d = 0; d < n; ++d) sum = fmaf(to_float(a[d]), to_float(b[d]), sum);
  return sum;
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps, 1) attention_forward_v1(ForwardProblem<T> in) {
  const AttentionParams& p = in.p;
  const int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.y;
  if (row >= p.batch * p.heads * p.queries) return;  // the whole warp
  const int64_t i = row % p.queries, h = row / p.queries % p.heads, b = row / p.queries / p.heads;
  const Interval seen = seen_keys(p, i, key_count(p, in.lengths, b));
  const auto keys = key_head(in.k, p, b, h / p.group()), values = key_head(in.v, p, b, h / p.group());
  const T* qi = query_head(in.q, p, b, h).row(i);
  T* yi = output_head(in.y, p, b, h).row(i);
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
          if (d < p.head_dim) acc[c] = fmaf(pj, to_float(values.row(j0 + j)[d]), acc[c]);
        }
      }
    }
    const bool empty = seen.begin == seen.end;
#pragma unroll
    for (int c = 0; c < kChunk; ++c) {
      const int64_t d = d0 + lane + 32 * c;
      if (d < p.head_dim) yi[d] = from_float<T>(empty ? 0 : acc[c] / sum);
    }
    if (d0 == 0 && lane == 0) in.lse[row] = empty ? -INFINITY : max + logf(sum);
  }
}

// A warp a query, and one a padded place; or, of rows in units of 16 bytes, the lanes that hold one, head beside head.
template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    attention_statistics(RowStatistics* out, const T* dy, const T* y, const float* lse, AttentionParams p) {
  const int64_t row = int64_t(blockIdx.x) * kWarps + threadIdx.y, padded = padded_queries(p);
  if (row >= p.batch * p.heads * padded) return;
  const int64_t i = row % padded, bh = row / padded;
  RowStatistics s{INFINITY, 0};
  if (i < p.queries) {
    const T *g = output_head(dy, p, bh / p.heads, bh % p.heads).row(i), *o = output_head(y, p, bh / p.heads, bh % p.heads).row(i);
    for (int64_t d = threadIdx.x; d < p.head_dim; d += 32) s.delta = fmaf(to_float(g[d]), to_float(o[d]), s.delta);
    s.delta = warp_sum(s.delta);
    s.lse = lse[bh * p.queries + i];
    if (s.lse == -INFINITY) s.lse = INFINITY;
  }
  if (threadIdx.x == 0) out[row] = s;
}
template <class T>
__global__ void __launch_bounds__(kThreads)
    attention_statistics_vectors(RowStatistics* out, const T* dy, const T* y, const float* lse, AttentionParams p, int lanes) {
  const unsigned heads = unsigned(p.heads), padded = unsigned(padded_queries(p)), thread = blockIdx.x * kThreads + threadIdx.x;
  const unsigned at = thread / unsigned(lanes), lane = thread % unsigned(lanes), h = at % heads, i = at / heads % padded;
  const int64_t b = at / heads / padded, row = b * p.heads + h;
  const bool inside = b < p.batch, query = inside && i < p.queries;
  RowStatistics s{INFINITY, 0};
  if (query) {
    float g[kVector<T>], o[kVector<T>];
    const int chunk = int(lane) * kVector<T>;
    load(g, output_head(dy, p, b, h).row(i) + chunk);
    load(o, output_head(y, p, b, h).row(i) + chunk);
#pragma unroll
    for (int d = 0; d < kVector<T>; ++d) s.delta = fmaf(g[d], o[d], s.delta);
  }
  for (int d = lanes / 2; d > 0; d /= 2) s.delta += __shfl_xor_sync(kFullWarp, s.delta, d);
  if (!inside || lane != 0) return;
  if (query) s.lse = lse[row * p.queries + i];
  if (s.lse == -INFINITY) s.lse = INFINITY;
  out[row * padded + i] = s;
}
template <class T>
void make_statistics(Context& context, RowStatistics* out, const T* dy, const T* y, const float* lse, const AttentionParams& p) {
  const int64_t rows = p.batch * p.heads * padded_queries(p);
  if (rows == 0) return;
  const int lanes = int(p.head_dim) / kVector<T>;
  if (supports_tiled(p) && aligned_16(dy, y) && rows * lanes < int64_t{1} << 31)
    return launch_threads(context, rows * lanes, attention_statistics_vectors<T>, out, dy, y, lse, p, lanes);
  launch(attention_statistics<T>, dim3(unsigned(ceil_div(rows, kWarps))), dim3(32, kWarps), 0, context, out, dy, y, lse, p);
}

template <class T, Rows kRows>
__global__ void __launch_bounds__(32 * kWarps, 1) attention_backward_v1(Backward<T, kRows> in) {
  const AttentionParams& p = in.p;
  const int64_t length = in.length(), heads = in.heads(), row = int64_t(blockIdx.x) * kWarps + threadIdx.y;
  if (row >= p.batch * heads * length) return;
  const int64_t t = row % length, own = row / length % heads, b = row / length / heads;
  const Interval seen = in.seen(b, t);
  const int lane = int(threadIdx.x);
  for (int64_t d0 = 0; d0 < p.head_dim; d0 += 32 * kChunk) {
    float acc1[kChunk] = {}, acc2[kChunk] = {};
    for (int64_t g = 0; g < in.group(); ++g) {
      const auto a = in.arrays(b, own, g);
      for (int64_t s0 = seen.begin; s0 < seen.end; s0 += 32) {
        float prob = 0, ds = 0;
        if (s0 + lane < seen.end) {
          const RowStatistics query = a.statistics[kRows == Rows::queries ? t : s0 + lane];
          prob = expf(float(p.scale) * dot(a.own_first.row(t), a.first.row(s0 + lane), p.head_dim) - query.lse);
          ds = float(p.scale) * prob * (dot(a.own_second.row(t), a.second.row(s0 + lane), p.head_dim) - query.delta);
        }
        for (int s = 0; s < 32 && s0 + s < seen.end; ++s) {
          const float prob_s = __shfl_sync(kFullWarp, prob, s), ds_s = __shfl_sync(kFullWarp, ds, s);
#pragma unroll
          for (int c = 0; c < kChunk; ++c) {
            const int64_t d = d0 + lane + 32 * c;
            if (d >= p.head_dim) continue;
            acc1[c] = fmaf(ds_s, to_float(a.first.row(s0 + s)[d]), acc1[c]);
            if (kRows == Rows::keys) acc2[c] = fmaf(prob_s, to_float(a.second.row(s0 + s)[d]), acc2[c]);
          }
        }
      }
    }
#pragma unroll
    for (int c = 0; c < kChunk; ++c) {
      const int64_t d = d0 + lane + 32 * c;
      if (d >= p.head_dim) continue;
      in.d_first(b, own).row(t)[d] = from_float<T>(acc1[c]);
      if (kRows == Rows::keys) in.d_second(b, own).row(t)[d] = from_float<T>(acc2[c]);
    }
  }
}

dim3 warp_rows(int64_t rows) { return dim3(unsigned(ceil_div(rows, kWarps))); }

template <class T>
void row_forward(Context& context, const ForwardProblem<T>& in) {
  launch(attention_forward_v1<T>, warp_rows(in.p.batch * in.p.heads * in.p.queries), dim3(32, kWarps), 0, context, in);
}

template <Rows kRows, class T>
void row_backward(Context& context, const BackwardProblem<T>& problem) {
  const Backward<T, kRows> in{problem};
  const int64_t rows = in.p.batch * in.heads() * in.length();
  if (rows) launch(attention_backward_v1<T, kRows>, warp_rows(rows), dim3(32, kWarps), 0, context, in);
}
template <class T>
void row_backward(Context& context, const BackwardProblem<T>& in) {
  row_backward<Rows::queries>(context, in);
  row_backward<Rows::keys>(context, in);
}

// The ladders: a version is what it accepts and what it runs.
template <class T, void (*kRun)(Context&, const ForwardProblem<T>&)>
void forward(Context& context, T* y, float* lse, const T* q, const T* k, const T* v, const int64_t* lengths,
             const AttentionParams& p) {
  if (p.batch * p.heads * p.queries > 0) kRun(context, {y, lse, q, k, v, lengths, with_steps(p)});
}
template <class T, void (*kRun)(Context&, const BackwardProblem<T>&)>
void backward(Context& context, T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* y, const float* lse,
              const int64_t* lengths, const AttentionParams& p) {
  const auto statistics = device_scratch<RowStatistics>(context, size_t(p.batch * p.heads * padded_queries(p)));
  make_statistics(context, statistics.get(), dy, y, lse, p);
  kRun(context, {dq, dk, dv, dy, q, k, v, statistics.get(), lengths, with_steps(p)});
}

template <class... A>
bool accepts_all(A...) {
  return true;
}
template <class T, bool (*kSupports)(const ForwardProblem<T>&)>
bool accepts_forward(T* y, float* lse, const T* q, const T* k, const T* v, const int64_t* lengths, const AttentionParams& p) {
  return kSupports({y, lse, q, k, v, lengths, with_steps(p)});
}
template <class T, bool (*kSupports)(const BackwardProblem<T>&)>
bool accepts_backward(T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T*, const float*,
                      const int64_t* lengths, const AttentionParams& p) {
  return kSupports({dq, dk, dv, dy, q, k, v, nullptr, lengths, with_steps(p)});
}
template <template <class> class Problem, class T>
bool tiled(const Problem<T>& in) {
  return supports_tiled(in.p);
}

template <class T>
constexpr Rung<AttentionForward<T>> kForwardV1 = {{1, "row by row"}, accepts_all, forward<T, row_forward<T>>};
template <class T>
constexpr Rung<AttentionForward<T>> kForwardV2 = {
    {2, "tiled"}, accepts_forward<T, tiled<ForwardProblem, T>>, forward<T, tiled_forward>};
template <class T>
constexpr Rung<AttentionBackward<T>> kBackwardV1 = {{1, "row by row"}, accepts_all, backward<T, row_backward<T>>};
template <class T>
constexpr Rung<AttentionBackward<T>> kBackwardV2 = {
    {2, "tiled"}, accepts_backward<T, tiled<BackwardProblem, T>>, backward<T, tiled_backward>};

constexpr Rung<AttentionForward<float>> kForward[] = {
    kForwardV1<float>,
    kForwardV2<float>,
    {{5, "register tile"}, accepts_forward<float, supports_register_tile>, forward<float, register_tile_forward>},
};
constexpr Rung<AttentionForward<BFloat16>> kForwardBf16[] = {
    kForwardV1<BFloat16>,
    kForwardV2<BFloat16>,
    {{3, "mma"}, accepts_forward<BFloat16, supports_mma>, forward<BFloat16, mma_forward>},
    {{4, "wgmma"}, accepts_forward<BFloat16, supports_wgmma>, forward<BFloat16, wgmma_forward>},
};
constexpr Rung<AttentionBackward<float>> kBackward[] = {
    kBackwardV1<float>,
    kBackwardV2<float>,
    {{5, "register tile"}, accepts_backward<float, supports_register_tile>, backward<float, register_tile_backward>},
};
constexpr Rung<AttentionBackward<BFloat16>> kBackwardBf16[] = {
    kBackwardV1<BFloat16>,
    kBackwardV2<BFloat16>,
    {{3, "mma"}, accepts_backward<BFloat16, supports_mma>, backward<BFloat16, mma_backward>},
    {{4, "wgmma"}, accepts_backward<BFloat16, supports_wgmma>, backward<BFloat16, wgmma_backward>},
};

}  // namespace

void attention_forward(Context& context, float* y, float* lse, const float* q, const float* k, const float* v,
                       const int64_t* lengths, const AttentionParams& p) {
  run_version(Op::attention, kForward, context, y, lse, q, k, v, lengths, p);
}
void attention_forward(Context& context, BFloat16* y, float* lse, const BFloat16* q, const BFloat16* k, const BFloat16* v,
                       const int64_t* lengths, const AttentionParams& p) {
  run_version(Op::attention, kForwardBf16, context, y, lse, q, k, v, lengths, p);
}
void attention_backward(Context& context, float* dq, float* dk, float* dv, const float* dy, const float* q, const float* k,
                        const float* v, const float* y, const float* lse, const int64_t* lengths, const AttentionParams& p) {
  run_version(Op::attention, kBackward, context, dq, dk, dv, dy, q, k, v, y, lse, lengths, p);
}
void attention_backward(Context& context, BFloat16* dq, BFloat16* dk, BFloat16* dv, const BFloat16* dy, const BFloat16* q,
                        const BFloat16* k, const BFloat16* v, const BFloat16* y, const float* lse, const int64_t* lengths,
                        const AttentionParams& p) {
  run_version(Op::attention, kBackwardBf16, context, dq, dk, dv, dy, q, k, v, y, lse, lengths, p);
}

GRAFT_KERNEL(attention, forward, GRAFT_GPU, float, AttentionForward);
GRAFT_KERNEL(attention, forward, GRAFT_GPU, BFloat16, AttentionForward);
GRAFT_KERNEL(attention, backward, GRAFT_GPU, float, AttentionBackward);
GRAFT_KERNEL(attention, backward, GRAFT_GPU, BFloat16, AttentionBackward);
GRAFT_VERSIONS(attention, forward, GRAFT_GPU, float, kForward);
GRAFT_VERSIONS(attention, forward, GRAFT_GPU, BFloat16, kForwardBf16);
GRAFT_VERSIONS(attention, backward, GRAFT_GPU, float, kBackward);
GRAFT_VERSIONS(attention, backward, GRAFT_GPU, BFloat16, kBackwardBf16);

}  // namespace graft::GRAFT_GPU
