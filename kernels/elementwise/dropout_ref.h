#pragma once
#include "kernels/elementwise/dropout.h"

namespace graft::ref {

template <class T>
void dropout_forward(Context&, T* y, const T* x, const DropoutParams& p) {
  for (int64_t i = 0; i < p.n; ++i) y[i] = x[i] * (p.stream.uniform(uint64_t(i)) < p.p ? T(0) : T(1 / (1 - p.p)));
}

}  // namespace graft::ref
