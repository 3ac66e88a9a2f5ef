#pragma once
#include "kernels/elementwise/cast.h"

namespace graft::ref {

template <class T>
void cast_forward(Context&, T* y, const Accumulate<T>* x, const CastParams& p) {
  for (int64_t i = 0; i < p.n; ++i) y[i] = T(x[i]);
}

template <class T>
void cast_backward(Context&, Accumulate<T>* dx, const T* dy, const CastParams& p) {
  for (int64_t i = 0; i < p.n; ++i) dx[i] = Accumulate<T>(dy[i]);
}

}  // namespace graft::ref
