#pragma once
#include "kernels/optim/global_norm.h"

namespace graft::ref {

template <class T>
void global_norm_forward(Context&, double* squares, std::span<const NormTensor<T>> tensors, const GlobalNormParams& p) {
  if (!p.more) *squares = 0;
  for (const NormTensor<T>& t : tensors)
    for (int64_t i = 0; i < t.n; ++i) *squares += double(t.x[i]) * double(t.x[i]);
}

}  // namespace graft::ref
