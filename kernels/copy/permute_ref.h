#pragma once
#include "kernels/copy/permute.h"

namespace graft::ref {

template <class T>
void permute_forward(Context&, T* y, const T* x, const PermuteParams& p) {
  for (int64_t n : p.dims)
    if (n == 0) return;
  std::array<int64_t, 6> i{};
  while (i[0] < p.dims[0]) {
    int64_t from = 0;
    for (size_t d = 0; d < 6; ++d) from += i[d] * p.strides[d];
    *y++ = x[from];
    for (size_t d = 5; ++i[d] == p.dims[d] && d > 0; --d) i[d] = 0;
  }
}

}  // namespace graft::ref
