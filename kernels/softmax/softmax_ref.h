#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/softmax/softmax.h"

namespace graft::ref {

// The row's maximum and the sum of exp(x - maximum).
template <class T>
std::pair<T, T> max_and_sum(const T* x, int64_t cols) {
  using std::exp;
  T max = x[0], sum = 0;
  for (int64_t c = 1; c < cols; ++c) max = std::max(max, x[c]);
  for (int64_t c = 0; c < cols; ++c) sum += exp(x[c] - max);
  return {max, sum};
}

template <class T>
void softmax_forward(Context&, T* y, const T* x, const SoftmaxParams& p) {
  using std::exp;
  for (int64_t r = 0; r < p.rows; ++r, x += p.cols, y += p.cols) {
    const auto [max, sum] = max_and_sum(x, p.cols);
    for (int64_t c = 0; c < p.cols; ++c) y[c] = exp(x[c] - max) / sum;
  }
}

template <class T>
void softmax_backward(Context&, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
  for (int64_t r = 0; r < p.rows; ++r, dx += p.cols, dy += p.cols, y += p.cols) {
    T dot = 0;
    for (int64_t c = 0; c < p.cols; ++c) dot += dy[c] * y[c];
    for (int64_t c = 0; c < p.cols; ++c) dx[c] = y[c] * (dy[c] - dot);
  }
}

template <class T>
void log_softmax_forward(Context&, T* y, const T* x, const SoftmaxParams& p) {
  using std::log;
  for (int64_t r = 0; r < p.rows; ++r, x += p.cols, y += p.cols) {
    const auto [max, sum] = max_and_sum(x, p.cols);
    const T log_sum = log(sum);
    for (int64_t c = 0; c < p.cols; ++c) y[c] = x[c] - max - log_sum;
  }
}

template <class T>
void log_softmax_backward(Context&, T* dx, const T* dy, const T* y, const SoftmaxParams& p) {
  using std::exp;
  for (int64_t r = 0; r < p.rows; ++r, dx += p.cols, dy += p.cols, y += p.cols) {
    T sum = 0;
    for (int64_t c = 0; c < p.cols; ++c) sum += dy[c];
    for (int64_t c = 0; c < p.cols; ++c) dx[c] = dy[c] - exp(y[c]) * sum;
  }
}

}  // namespace graft::ref
