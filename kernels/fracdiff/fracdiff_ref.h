#pragma once
#include <algorithm>

#include "kernels/fracdiff/fracdiff.h"

namespace graft::ref {

template <class T>
void fracdiff_forward(Context&, T* y, const T* x, const Accumulate<T>* weights, const FracdiffParams& p) {
  for (int64_t s = 0; s < p.series; ++s, x += p.length, y += p.length)
    for (int64_t t = 0; t < p.length; ++t) {
      T sum = 0;
      for (int64_t k = 0; k < std::min(p.window, t + 1); ++k) sum += weights[k] * x[t - k];
      y[t] = sum;
    }
}

template <class T>
void fracdiff_backward(Context&, T* dx, const T* dy, const Accumulate<T>* weights, const FracdiffParams& p) {
  for (int64_t s = 0; s < p.series; ++s, dx += p.length, dy += p.length)
    for (int64_t t = 0; t < p.length; ++t) {
      T sum = 0;
      for (int64_t k = 0; k < std::min(p.window, p.length - t); ++k) sum += weights[k] * dy[t + k];
      dx[t] = sum;
    }
}

}  // namespace graft::ref
