#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention/attention.h"

namespace graft::ref {

// f(row of q, row of y, row of lse, head of k and v, seen keys): offsets into the arrays, for every query of every head.
template <class F>
void for_queries(const AttentionParams& p, const int64_t* lengths, F f) {
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t h = 0; h < p.heads; ++h)
      for (int64_t i = 0; i < p.queries; ++i)
        f((b * p.queries + i) * p.q_step() + h * p.head_dim, (b * p.queries + i) * p.y_step() + h * p.head_dim,
          (b * p.heads + h) * p.queries + i, b * p.keys * p.kv_step() + h / p.group() * p.head_dim,
          seen_keys(p, i, key_count(p, lengths, b)));
}

template <class T>
void clear_rows(T* x, int64_t rows, int64_t step, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) std::fill_n(x + r * step, n, T(0));
}

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T sum = 0;
  for (int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

template <class T>
void attention_forward(Context&, T* y, Accumulate<T>* lse, const T* q, const T* k, const T* v, const int64_t* lengths,
                       const AttentionParams& p) {
  using std::exp, std::log;
  const int64_t step = p.kv_step();
  std::vector<T> score(size_t(p.keys));
  for_queries(p, lengths, [&](int64_t query, int64_t out, int64_t row, int64_t kv, Interval keys) {
    std::fill_n(y + out, p.head_dim, T(0));
    lse[row] = -std::numeric_limits<T>::infinity();
    if (keys.begin == keys.end) return;
    for (int64_t j = keys.begin; j < keys.end; ++j) score[size_t(j)] = T(p.scale) * dot(q + query, k + kv + j * step, p.head_dim);
    T max = score[size_t(keys.begin)], sum = 0;
    for (int64_t j = keys.begin; j < keys.end; ++j) max = std::max(max, score[size_t(j)]);
    for (int64_t j = keys.begin; j < keys.end; ++j) sum += exp(score[size_t(j)] - max);
    lse[row] = max + log(sum);
    for (int64_t j = keys.begin; j < keys.end; ++j)
      for (int64_t d = 0; d < p.head_dim; ++d) y[out + d] += exp(score[size_t(j)] - max) / sum * v[kv + j * step + d];
  });
}

template <class T>
void attention_backward(Context&, T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* y,
                        const Accumulate<T>* lse, const int64_t* lengths, const AttentionParams& p) {
  using std::exp;
  const int64_t step = p.kv_step(), D = p.head_dim;
  clear_rows(dq, p.batch * p.queries, p.q_step(), p.heads * D);
  clear_rows(dk, p.batch * p.keys, step, p.kv_heads * D);
  clear_rows(dv, p.batch * p.keys, step, p.kv_heads * D);
  for_queries(p, lengths, [&](int64_t query, int64_t out, int64_t row, int64_t kv, Interval keys) {
    const T delta = dot(dy + out, y + out, D);
    for (int64_t j = keys.begin; j < keys.end; ++j) {
      const int64_t key = kv + j * step;
      const T prob = exp(T(p.scale) * dot(q + query, k + key, D) - lse[row]);
      const T ds = T(p.scale) * prob * (dot(dy + out, v + key, D) - delta);
      for (int64_t d = 0; d < D; ++d) {
        dq[query + d] += ds * k[key + d];
        dk[key + d] += ds * q[query + d];
        dv[key + d] += prob * dy[out + d];
      }
    }
  });
}

}  // namespace graft::ref
