#pragma once
#include "kernels/reduce/reduce.h"

namespace graft::ref {

template <class T>
void reduce_forward(Context&, T* y, const T* x, const ReduceParams& p) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t i = 0; i < p.inner; ++i) {
      T sum = T(0);
      for (int64_t k = 0; k < p.n; ++k) sum += x[(o * p.n + k) * p.inner + i];
      y[o * p.inner + i] = p.kind == Reduce::mean ? sum / T(p.n) : sum;
    }
}

template <class T>
void reduce_backward(Context&, T* dx, const T* dy, const ReduceParams& p) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t k = 0; k < p.n; ++k)
      for (int64_t i = 0; i < p.inner; ++i) {
        const T g = dy[o * p.inner + i];
        dx[(o * p.n + k) * p.inner + i] = p.kind == Reduce::mean ? g / T(p.n) : g;
      }
}

}  // namespace graft::ref
