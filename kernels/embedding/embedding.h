// y[i] = weight[ids[i]]: rows of a table.
#pragma once
#include "kernels/common/context.h"

namespace graft {

struct EmbeddingParams {
  int64_t n;           // ids
  int64_t vocabulary;  // V, rows of the table
  int64_t features;    // D
};

// y[n, D], weight[V, D], ids[n]. ShapeError names the first id outside [0, V), before anything is written.
template <class T>
using EmbeddingForward = void(Context&, T* y, const T* weight, const int64_t* ids, const EmbeddingParams&);
// dweight[V, D] = for each row the sum of dy over the places that took it, in their order; 0 for rows nobody took.
template <class T>
using EmbeddingBackward = void(Context&, T* dweight, const T* dy, const int64_t* ids, const EmbeddingParams&);

void check_ids(const int64_t* ids, const EmbeddingParams&);

namespace cpu {
EmbeddingForward<float> embedding_forward;
EmbeddingBackward<float> embedding_backward;
}  // namespace cpu

}  // namespace graft
