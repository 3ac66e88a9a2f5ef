#pragma once
#include "kernels/loss/loss.h"
#include "kernels/softmax/softmax_ref.h"

namespace graft::ref {

template <class T>
void cross_entropy_forward(Context&, T* loss, T* normaliser, const T* x, const int64_t* labels, const CrossEntropyParams& p) {
  using std::log;
  check_labels("cross_entropy", labels, p.n, p.classes);
  T total = 0;
  for (int64_t n = 0; n < p.n; ++n, x += p.line()) {
    const auto [max, sum] = max_and_sum(x, p.classes);
    normaliser[2 * n] = max;
    normaliser[2 * n + 1] = log(sum);
    T away = 0;  // sum over classes of max - x
    if (p.smoothing != 0)
      for (int64_t c = 0; c < p.classes; ++c) away += max - x[c];
    total += log(sum) + T(1 - p.smoothing) * (max - x[labels[n]]) + T(p.smoothing / double(p.classes)) * away;
  }
  *loss = total / T(p.n);
}

template <class T>
void cross_entropy_backward(Context&, T* dx, const T* dloss, const T* x, const T* normaliser, const int64_t* labels,
                            const CrossEntropyParams& p) {
  using std::exp;
  for (int64_t n = 0; n < p.n; ++n, x += p.line(), dx += p.line()) {
    for (int64_t c = 0; c < p.classes; ++c) {
      const T q = T(p.smoothing / double(p.classes)) + (c == labels[n] ? T(1 - p.smoothing) : T(0));
      dx[c] = *dloss / T(p.n) * (exp(x[c] - normaliser[2 * n] - normaliser[2 * n + 1]) - q);
    }
    for (int64_t c = p.classes; c < p.line(); ++c) dx[c] = 0;
  }
}

template <class T>
void mse_forward(Context&, T* loss, const T* x, const T* target, const MseParams& p) {
  T sum = 0;
  for (int64_t i = 0; i < p.n; ++i) sum += (x[i] - target[i]) * (x[i] - target[i]);
  *loss = sum / T(p.n);
}

template <class T>
void mse_backward(Context&, T* dx, T* dtarget, const T* dloss, const T* x, const T* target, const MseParams& p) {
  const T scale = T(2) * *dloss / T(p.n);
  for (int64_t i = 0; i < p.n; ++i) {
    const T g = scale * (x[i] - target[i]);
    if (dx) dx[i] = g;
    if (dtarget) dtarget[i] = -g;
  }
}

}  // namespace graft::ref
