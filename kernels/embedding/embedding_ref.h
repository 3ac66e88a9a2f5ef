#pragma once
#include "kernels/embedding/embedding.h"

namespace graft::ref {

template <class T>
void embedding_forward(Context&, T* y, const T* weight, const int64_t* ids, const EmbeddingParams& p) {
  check_ids(ids, p);
  for (int64_t i = 0; i < p.n; ++i)
    for (int64_t d = 0; d < p.features; ++d) y[i * p.features + d] = weight[ids[i] * p.features + d];
}

template <class T>
void embedding_backward(Context&, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams& p) {
  check_ids(ids, p);
  for (int64_t i = 0; i < p.vocabulary * p.features; ++i) dweight[i] = T(0);
  for (int64_t i = 0; i < p.n; ++i)
    for (int64_t d = 0; d < p.features; ++d) dweight[ids[i] * p.features + d] += dy[i * p.features + d];
}

}  // namespace graft::ref
