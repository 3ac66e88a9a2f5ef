#pragma once
#include "kernels/elementwise/axpby.h"

namespace graft::ref {

template <class T>
void axpby_forward(Context&, T* y, const T* x, const AxpbyParams& p) {
  for (int64_t i = 0; i < p.n; ++i) y[i] = p.b == 0 ? T(p.a) * x[i] : T(p.a) * x[i] + T(p.b) * y[i];
}

}  // namespace graft::ref
