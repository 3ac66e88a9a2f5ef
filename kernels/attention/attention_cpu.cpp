// Tiles of kOwn x kStream scores, never more: products by the tile of kernels/matmul, softmax online (Milakov & Gimelshein
// 2018), so the longest sequence costs no memory beyond packed copies of the inputs.
// Backward runs twice over the tiles, once with queries as rows (dq), once with keys as rows (dk, dv): seven products
// instead of five, but every output has one owner, and no bit depends on who came first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/attention/tiles_cpu.h"
#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/common/simd_math.h"
#include "kernels/matmul/tile_cpu.h"
#include "kernels/softmax/softmax_simd.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

static_assert(kOwn % kTileRows == 0 && kStream % kPanel == 0);

// Panels of rows (each column of the product one row of `in`) or of features (one feature).
void Pack(float* out, const float* in, int64_t step, int64_t rows, int64_t dim, Panels panels) {
  const int64_t n = panels == Panels::rows ? rows : dim;
  for (int64_t p = 0; p < kLayout.count(n); ++p)
    if (panels == Panels::rows)
      pack_panel(out + p * kPanel * dim, in + p * kPanel * step, 1, step, dim, kLayout.cols(n, p), kLayout.width(n, p));
    else pack_panel(out + p * kPanel * rows, in + p * kPanel, step, 1, rows, kLayout.cols(n, p), kLayout.width(n, p));
}

// c[rows][n0 .. n1) (+)= a[rows][count] b[k0 .. k0 + count); b: panels of n columns and depth k. n0 starts a panel.
void product(float* const* c, const float* const* a, int64_t rows, const float* b, int64_t n, int64_t k, int64_t n0, int64_t n1,
             int64_t k0, int64_t count, bool accumulate) {
  const Run run{0, count};
  for (int64_t p = n0 / kPanel; p * kPanel < n1; ++p) {
    const int64_t width = kLayout.width(n, p);
    compute_panel(rows, Tile{a, 0, 1, &run, 1, b + p * kPanel * k + k0 * width, width, c, p * kPanel - n0, kLayout.cols(n, p),
                             accumulate, nullptr, false});
  }
}

HWY_INLINE void scale_row(float* x, int64_t n, float by) {
  const VF f = hn::Set(F32(), by);
  for_vectors(n, [&](int64_t i, auto lanes) { lanes.store(hn::Mul(lanes.load(x + i), f), x + i); });
}

// The part of `seen` in columns [at, at + count), from at on.
HWY_INLINE Interval part_of(Interval seen, int64_t at, int64_t count) {
  const int64_t begin = std::clamp<int64_t>(seen.begin - at, 0, count), end = std::clamp<int64_t>(seen.end - at, 0, count);
  return {begin, std::max(begin, end)};
}

HWY_INLINE void clear_outside(float* x, int64_t count, Interval in) {
  std::fill(x, x + in.begin, 0.0f);
  std::fill(x + in.end, x + count, 0.0f);
}

void Forward(const ForwardTile& t) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const AttentionParams& p = *t.params;
  const float *q[kOwn], *prob[kOwn];
  float *y[kOwn], *score[kOwn];
  float max[kOwn], sum[kOwn];
  Interval seen[kOwn] = {};
  for (int64_t r = 0; r < t.rows; ++r) {
    q[r] = t.q + r * t.q_step, y[r] = t.y + r * t.y_step;
    prob[r] = score[r] = t.scores + r * kStream;
    seen[r] = seen_keys(p, t.first + r, t.count);
    max[r] = kNone, sum[r] = 0;
  }
  const Interval all{seen[0].begin, seen[t.rows - 1].end};
  const int64_t start = all.begin / kStream * kStream;
  for (int64_t at = start; at < all.end; at += kStream) {
    const int64_t count = std::min(kStream, all.end - at);
    product(score, q, t.rows, t.k, p.keys, p.head_dim, at, at + count, 0, p.head_dim, false);
    for (int64_t r = 0; r < t.rows; ++r) {
      const Interval in = part_of(seen[r], at, count);
      const int64_t n = in.end - in.begin;
      clear_outside(score[r], count, in);
      if (n == 0) continue;
      float* s = score[r] + in.begin;
      scale_row(s, n, float(p.scale));
      const float highest = std::max(max[r], row_max(s, n)), shift = highest == kNone ? 0 : highest;
      const float faded = std::exp(max[r] - shift);
      sum[r] = sum[r] * faded + sum_exp(s, n, shift, [&](int64_t c, auto lanes, VF e) { lanes.store(e, s + c); });
      max[r] = highest;
      if (at != start && faded != 1) scale_row(y[r], p.head_dim, faded);
    }
    product(y, prob, t.rows, t.v, p.head_dim, p.keys, 0, p.head_dim, at, count, at != start);
  }
  for (int64_t r = 0; r < t.rows; ++r) {
    const bool empty = seen[r].begin == seen[r].end;
    if (empty) std::fill_n(y[r], p.head_dim, 0.0f);
    else scale_row(y[r], p.head_dim, 1 / sum[r]);
    t.lse[r] = empty ? kNone : max[r] + std::log(sum[r]);
  }
}

// delta[n] of n queries of one head.
void Delta(float* delta, const float* dy, const float* y, int64_t step, int64_t n, int64_t dim) {
  for (int64_t i = 0; i < n; ++i, dy += step, y += step) {
    VF sum = hn::Zero(F32());
    for_vectors(dim, [&](int64_t d, auto lanes) { sum = hn::MulAdd(lanes.load(dy + d), lanes.load(y + d), sum); });
    delta[i] = sum_lanes(sum);
  }
}

// One head of the stream against the rows of a tile. Rows are queries and the stream is keys, or the other way round.
template <Rows kRows>
HWY_INLINE void backward(const BackwardTile& t) {
  const AttentionParams& p = *t.params;
  const float *first[kOwn], *second[kOwn], *prob[kOwn], *ds[kOwn];
  float *d_first[kOwn], *d_second[kOwn], *score[kOwn], *dp[kOwn];
  Interval seen[kOwn] = {};
  const int64_t stream = kRows == Rows::queries ? p.keys : p.queries;
  const int64_t live = kRows == Rows::queries ? t.rows : std::min(t.rows, t.count - t.at);  // the rows behind are padding
  for (int64_t r = 0; r < t.rows; ++r) {
    first[r] = t.first + r * t.first_step, second[r] = t.second + r * t.second_step;
    d_first[r] = t.d_first + r * t.first_step, d_second[r] = kRows == Rows::keys ? t.d_second + r * t.second_step : nullptr;
    prob[r] = score[r] = t.scores + r * kStream, ds[r] = dp[r] = t.scores + (kOwn + r) * kStream;
    seen[r] = r >= live ? Interval{0, 0} : kRows == Rows::queries ? seen_keys(p, t.at + r, t.count) : seeing_queries(p, t.at + r);
    if (!t.accumulate) {
      std::fill_n(d_first[r], p.head_dim, 0.0f);
      if (kRows == Rows::keys) std::fill_n(d_second[r], p.head_dim, 0.0f);
    }
  }
  if (live <= 0) return;
  const Interval all{seen[0].begin, seen[live - 1].end};
  const VF scale = hn::Set(F32(), float(p.scale));
  for (int64_t at = all.begin / kStream * kStream; at < all.end; at += kStream) {
    const int64_t count = std::min(kStream, all.end - at);
    product(score, first, live, t.stream_first, stream, p.head_dim, at, at + count, 0, p.head_dim, false);
    product(dp, second, live, t.stream_second, stream, p.head_dim, at, at + count, 0, p.head_dim, false);
    for (int64_t r = 0; r < live; ++r) {
      const Interval in = part_of(seen[r], at, count);
      clear_outside(score[r], count, in);
      clear_outside(dp[r], count, in);
      float *s = score[r] + in.begin, *g = dp[r] + in.begin;
      const float *lse = t.lse + (kRows == Rows::queries ? r : at + in.begin), *delta = t.delta + (lse - t.lse);
      for_vectors(in.end - in.begin, [&](int64_t c, auto lanes) {
        const auto of_query = [&](const float* v) { return kRows == Rows::queries ? hn::Set(F32(), *v) : lanes.load(v + c); };
        const VF e = exp_of(hn::Sub(hn::Mul(lanes.load(s + c), scale), of_query(lse)));
        lanes.store(e, s + c);
        lanes.store(hn::Mul(hn::Mul(e, hn::Sub(lanes.load(g + c), of_query(delta))), scale), g + c);
      });
    }
    product(d_first, ds, live, t.stream_first_features, p.head_dim, stream, 0, p.head_dim, at, count, true);
    if (kRows == Rows::keys)
      product(d_second, prob, live, t.stream_second_features, p.head_dim, stream, 0, p.head_dim, at, count, true);
  }
}

void BackwardQueries(const BackwardTile& t) { backward<Rows::queries>(t); }
void BackwardKeys(const BackwardTile& t) { backward<Rows::keys>(t); }

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Pack);
HWY_EXPORT(Forward);
HWY_EXPORT(Delta);
HWY_EXPORT(BackwardQueries);
HWY_EXPORT(BackwardKeys);

namespace {

// One tensor [batch, length, heads, head_dim], tokens `step` apart, its heads packed one after another.
struct PackedHeads {
  PackedHeads(Context& context, const float* x, int64_t batch, int64_t length, int64_t heads, int64_t dim, int64_t step,
              Panels panels)
      : size(panels == Panels::rows ? panel_layout().padded(length) * dim : panel_layout().padded(dim) * length),
        data(context.scratch<float>(size_t(batch * heads * size))) {
    context.pool().parallel_for(batch * heads, [&](int64_t i, int) {
      HWY_DYNAMIC_DISPATCH(Pack)
      (data.get() + i * size, x + i / heads * length * step + i % heads * dim, step, length, dim, panels);
    });
  }
  const float* head(int64_t b, int64_t heads, int64_t h) const { return data.get() + (b * heads + h) * size; }
  int64_t size;
  Scratch<float> data;
};

// f(batch, head, first row, rows, scores of this worker) for tiles of kOwn rows.
template <class F>
void for_tiles(Context& context, int64_t batch, int64_t heads, int64_t length, F f) {
  const int64_t tiles = (length + kOwn - 1) / kOwn;
  const auto scores = context.scratch<float>(size_t(2 * kOwn * kStream * context.pool().size()));
  context.pool().parallel_for(batch * heads * tiles, [&](int64_t task, int worker) {
    const int64_t at = task % tiles * kOwn;
    f(task / (heads * tiles), task / tiles % heads, at, std::min(kOwn, length - at), scores.get() + worker * 2 * kOwn * kStream);
  });
}

}  // namespace

void attention_forward(Context& context, float* y, float* lse, const float* q, const float* k, const float* v,
                       const int64_t* lengths, const AttentionParams& p) {
  const int64_t D = p.head_dim;
  const PackedHeads keys(context, k, p.batch, p.keys, p.kv_heads, D, p.kv_step(), Panels::rows),
      values(context, v, p.batch, p.keys, p.kv_heads, D, p.kv_step(), Panels::features);
  for_tiles(context, p.batch, p.heads, p.queries, [&](int64_t b, int64_t h, int64_t at, int64_t rows, float* scores) {
    const int64_t row = b * p.queries + at, kv = h / p.group();
    HWY_DYNAMIC_DISPATCH(Forward)
    ({.params = &p,
      .first = at,
      .rows = rows,
      .count = key_count(p, lengths, b),
      .q_step = p.q_step(),
      .y_step = p.y_step(),
      .q = q + row * p.q_step() + h * D,
      .k = keys.head(b, p.kv_heads, kv),
      .v = values.head(b, p.kv_heads, kv),
      .y = y + row * p.y_step() + h * D,
      .lse = lse + (b * p.heads + h) * p.queries + at,
      .scores = scores});
  });
}

void attention_backward(Context& context, float* dq, float* dk, float* dv, const float* dy, const float* q, const float* k,
                        const float* v, const float* y, const float* lse, const int64_t* lengths, const AttentionParams& p) {
  const int64_t D = p.head_dim, H = p.heads, KV = p.kv_heads;
  const auto delta = context.scratch<float>(size_t(p.batch * H * p.queries));
  context.pool().parallel_for(p.batch * H, [&](int64_t i, int) {
    const int64_t own = (i / H * p.queries * H + i % H) * D;
    HWY_DYNAMIC_DISPATCH(Delta)(delta.get() + i * p.queries, dy + own, y + own, H * D, p.queries, D);
  });
  {
    const PackedHeads keys(context, k, p.batch, p.keys, KV, D, p.kv_step(), Panels::rows),
        values(context, v, p.batch, p.keys, KV, D, p.kv_step(), Panels::rows),
        keys_features(context, k, p.batch, p.keys, KV, D, p.kv_step(), Panels::features);
    for_tiles(context, p.batch, H, p.queries, [&](int64_t b, int64_t h, int64_t at, int64_t rows, float* scores) {
      const int64_t row = b * p.queries + at, own = row * p.q_step() + h * D, kv = h / p.group();
      const int64_t query = (b * H + h) * p.queries + at;
      HWY_DYNAMIC_DISPATCH(BackwardQueries)
      ({.params = &p,
        .at = at,
        .rows = rows,
        .count = key_count(p, lengths, b),
        .first_step = p.q_step(),
        .second_step = p.y_step(),
        .first = q + own,
        .second = dy + row * p.y_step() + h * D,
        .stream_first = keys.head(b, KV, kv),
        .stream_second = values.head(b, KV, kv),
        .stream_first_features = keys_features.head(b, KV, kv),
        .lse = lse + query,
        .delta = delta.get() + query,
        .d_first = dq + own,
        .scores = scores});
    });
  }
  const PackedHeads queries(context, q, p.batch, p.queries, H, D, p.q_step(), Panels::rows),
      grads(context, dy, p.batch, p.queries, H, D, p.y_step(), Panels::rows),
      queries_features(context, q, p.batch, p.queries, H, D, p.q_step(), Panels::features),
      grads_features(context, dy, p.batch, p.queries, H, D, p.y_step(), Panels::features);
  for_tiles(context, p.batch, KV, p.keys, [&](int64_t b, int64_t kv, int64_t at, int64_t rows, float* scores) {
    const int64_t own = (b * p.keys + at) * p.kv_step() + kv * D;
    for (int64_t h = kv * p.group(); h < (kv + 1) * p.group(); ++h) {
      const int64_t query = (b * H + h) * p.queries;
      HWY_DYNAMIC_DISPATCH(BackwardKeys)
      ({.params = &p,
        .at = at,
        .rows = rows,
        .count = key_count(p, lengths, b),
        .first_step = p.kv_step(),
        .second_step = p.kv_step(),
        .accumulate = h != kv * p.group(),
        .first = k + own,
        .second = v + own,
        .stream_first = queries.head(b, H, h),
        .stream_second = grads.head(b, H, h),
        .stream_first_features = queries_features.head(b, H, h),
        .stream_second_features = grads_features.head(b, H, h),
        .lse = lse + query,
        .delta = delta.get() + query,
        .d_first = dk + own,
        .d_second = dv + own,
        .scores = scores});
    }
  });
}

GRAFT_KERNEL(attention, forward, cpu, float, AttentionForward);
GRAFT_KERNEL(attention, backward, cpu, float, AttentionBackward);

}  // namespace graft::cpu
#endif
