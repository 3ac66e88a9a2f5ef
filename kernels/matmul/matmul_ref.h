// The oracle: scalar loops, any T.
#pragma once
#include "kernels/matmul/matmul.h"

namespace graft::ref {

template <class T>
void matmul_forward(Context&, T* c, const T* a, const T* b, const MatmulParams& p) {
  for (int64_t s = 0; s < p.batch; ++s, a += p.m * p.k, b += p.k * p.n, c += p.m * p.n)
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < p.n; ++j) {
        T sum(0);
        for (int64_t k = 0; k < p.k; ++k)
          sum += (p.transpose_a ? a[k * p.m + i] : a[i * p.k + k]) * (p.transpose_b ? b[j * p.k + k] : b[k * p.n + j]);
        c[i * p.n + j] = p.write == Write::accumulate ? c[i * p.n + j] + sum : sum;
      }
}

}  // namespace graft::ref
