// Where the rows of one head lie, and which rows see each other: shared by all versions.
#pragma once
#include "kernels/attention/problem.h"
#include "kernels/common/ptx.h"

namespace graft::GRAFT_GPU {
namespace {

// Rows of head_dim elements, `step` apart.
template <class T>
struct Head {
  T* data;
  int step;
  __device__ T* row(int64_t t) const { return data + t * step; }
};
template <class T>
__device__ Head<T> query_head(T* q, const AttentionParams& p, int64_t b, int64_t h) {
  return {q + b * p.queries * p.q_row + h * p.head_dim, int(p.q_row)};
}
template <class T>
__device__ Head<T> output_head(T* y, const AttentionParams& p, int64_t b, int64_t h) {
  return {y + b * p.queries * p.y_step() + h * p.head_dim, int(p.y_step())};
}
template <class T>
__device__ Head<T> key_head(T* k, const AttentionParams& p, int64_t b, int64_t kv) {
  return {k + b * p.keys * p.kv_row + kv * p.head_dim, int(p.kv_row)};
}

// Where the running maximum is still -inf the shift is 0: exp(-inf - 0) = 0, where -inf - -inf would be NaN.
__device__ inline float finite_shift(float max) { return max == -INFINITY ? 0 : max; }

// Backward comes twice from one text: rows are queries (q, dy) and the stream that passes them is keys (k, v), which makes
// dq; or rows are keys and the stream is queries, which makes dk and dv.
enum class Rows { queries, keys };

template <class T, Rows kRows>
struct Backward : BackwardProblem<T> {
  static constexpr bool kKeys = kRows == Rows::keys;
  using BackwardProblem<T>::p;

  __host__ __device__ int64_t length() const { return kKeys ? p.keys : p.queries; }
  __host__ __device__ int64_t heads() const { return kKeys ? p.kv_heads : p.heads; }
  __device__ int64_t group() const { return kKeys ? p.group() : 1; }  // heads of the stream that a row meets
  __device__ int64_t live(int64_t b) const { return kKeys ? key_count(p, this->lengths, b) : p.queries; }  // others are padding
  __device__ Interval seen(int64_t b, int64_t t) const {
    if constexpr (kKeys) return t < live(b) ? seeing_queries(p, t) : Interval{0, 0};
    else return seen_keys(p, t, key_count(p, this->lengths, b));
  }

  // dS multiplies rows of the stream's first array, P (keys only) those of its second.
  struct Arrays {
    Head<const T> own_first, own_second, first, second;
    const RowStatistics* statistics;  // of the head's queries
  };
  __device__ Arrays arrays(int64_t b, int64_t own, int64_t g) const {
    const int64_t h = own * group() + g, kv = h / p.group();
    const Head<const T> q = query_head(this->q, p, b, h), dy = output_head(this->dy, p, b, h), k = key_head(this->k, p, b, kv),
                        v = key_head(this->v, p, b, kv);
    const RowStatistics* s = this->rows + (b * p.heads + h) * padded_queries(p);
    if constexpr (kKeys) return {k, v, q, dy, s};
    else return {q, dy, k, v, s};
  }
  __device__ Head<T> d_first(int64_t b, int64_t own) const {
    return kKeys ? key_head(this->dk, p, b, own) : query_head(this->dq, p, b, own);
  }
  __device__ Head<T> d_second(int64_t b, int64_t own) const { return key_head(this->dv, p, b, own); }  // keys only
};

}  // namespace
}  // namespace graft::GRAFT_GPU
