// Scaled dot-product attention (Vaswani et al. 2017), head by head; query head h reads key head h / (heads / kv_heads)
// (grouped queries, Ainslie et al. 2023):
//   s_ij = scale q_i . k_j,   P_ij = exp(s_ij - lse_i),   lse_i = log sum_j exp(s_ij),   y_i = sum_j P_ij v_j
// over the keys j that query i sees. Backward, with delta_i = dy_i . y_i (Dao et al. 2022):
//   dS_ij = P_ij (dy_i . v_j - delta_i),   dq_i = scale sum_j dS_ij k_j,   dk_j = scale sum_i dS_ij q_i,   dv_j = sum_i P_ij dy_i
// Every mask here leaves each query one interval of keys and each key one interval of queries. Query i stands at place
// i + keys - queries: the last query at the last key, as when a few new tokens meet a longer cache.
//   lengths   keys j < lengths[b]: the rest is padding and is never read
//   causal    j <= place
//   window w  |place - j| < w
// A query that sees no key gives y = 0, lse = -inf and no gradient. Between lengths and causal or window bounds, v and dy are
// multiplied by zeros in blocks: there a NaN or Inf of a token may reach queries near by that do not see it.
#pragma once
#include "kernels/common/both_sides.h"
#include "kernels/common/context.h"
#include "kernels/common/dtype.h"

namespace graft {

struct AttentionParams {
  int64_t batch, queries, keys, heads, kv_heads, head_dim;  // kv_heads divides heads
  double scale;                                             // > 0, usually 1 / sqrt(head_dim)
  bool causal = false;
  int64_t window = 0;  // 0: none
  // Elements from a token to the next, in q and dq and in k, v, dk and dv, which one tensor may hold side by side; 0: dense.
  int64_t q_row = 0, kv_row = 0;

  GRAFT_BOTH_SIDES constexpr int64_t group() const { return heads / kv_heads; }
  GRAFT_BOTH_SIDES constexpr int64_t y_step() const { return heads * head_dim; }  // of y and dy
  GRAFT_BOTH_SIDES constexpr int64_t q_step() const { return q_row ? q_row : heads * head_dim; }
  GRAFT_BOTH_SIDES constexpr int64_t kv_step() const { return kv_row ? kv_row : kv_heads * head_dim; }
};

// q, y [batch, queries, heads, head_dim]; k, v [batch, keys, kv_heads, head_dim]; lse [batch, heads, queries]; lengths[batch],
// clamped to [0, keys], or null. Gradients have the shapes and steps of what they belong to. Outputs overlap no input.
template <class T>
using AttentionForward = void(Context&, T* y, Accumulate<T>* lse, const T* q, const T* k, const T* v, const int64_t* lengths,
                              const AttentionParams&);
template <class T>
using AttentionBackward = void(Context&, T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* y,
                               const Accumulate<T>* lse, const int64_t* lengths, const AttentionParams&);

struct Interval {
  int64_t begin, end;  // empty: equal
};

GRAFT_BOTH_SIDES constexpr int64_t key_count(const AttentionParams& p, const int64_t* lengths, int64_t b) {
  if (!lengths || lengths[b] > p.keys) return p.keys;
  return lengths[b] < 0 ? 0 : lengths[b];
}

// The keys that query i sees, of `count`; begin and end grow with i.
GRAFT_BOTH_SIDES constexpr Interval seen_keys(const AttentionParams& p, int64_t i, int64_t count) {
  const int64_t place = i + p.keys - p.queries;
  int64_t begin = p.window ? place - p.window + 1 : 0, end = count;
  if (p.causal && place + 1 < end) end = place + 1;
  if (p.window && place + p.window < end) end = place + p.window;
  if (end < 0) end = 0;
  if (begin < 0) begin = 0;
  return {begin < end ? begin : end, end};
}

// The queries that see key j < key_count; begin and end grow with j.
GRAFT_BOTH_SIDES constexpr Interval seeing_queries(const AttentionParams& p, int64_t j) {
  const int64_t level = j + p.queries - p.keys;  // the query at key j's place
  int64_t begin = p.causal ? level : p.window ? level - p.window + 1 : 0, end = p.window ? level + p.window : p.queries;
  if (end > p.queries) end = p.queries;
  if (end < 0) end = 0;
  if (begin < 0) begin = 0;
  return {begin < end ? begin : end, end};
}

namespace cpu {
AttentionForward<float> attention_forward;
AttentionBackward<float> attention_backward;
}  // namespace cpu

}  // namespace graft
