// y[i] = weight[ids[i]];  dweight[v] = sum of dy[i] over the places i with ids[i] = v, in their order.
//
// | version | what it teaches |
// |---|---|
// | v1 forward  | one thread a value: a row is read as whole lines |
// | v1 backward | one thread a value of dweight walks all ids: no atomics, the same bits every time; work V n |
// An id outside [0, V) throws where the ids are in host memory, else its row of y is NaN and it has no gradient.
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/embedding/embedding.h"

namespace graft::GRAFT_GPU {
namespace {

__global__ void __launch_bounds__(kThreads) embedding_v1(float* y, const float* weight, const int64_t* ids, EmbeddingParams p) {
  const int64_t i = global_thread();
  if (i >= p.n * p.features) return;
  const int64_t id = ids[i / p.features];
  y[i] = id >= 0 && id < p.vocabulary ? weight[id * p.features + i % p.features] : NAN;
}

__global__ void __launch_bounds__(kThreads)
    embedding_backward_v1(float* dweight, const float* dy, const int64_t* ids, EmbeddingParams p) {
  const int64_t i = global_thread();
  if (i >= p.vocabulary * p.features) return;
  const int64_t row = i / p.features, d = i % p.features;
  float sum = 0;
  for (int64_t k = 0; k < p.n; ++k)
    if (ids[k] == row) sum += dy[k * p.features + d];
  dweight[i] = sum;
}

}  // namespace

void embedding_forward(Context& context, float* y, const float* weight, const int64_t* ids, const EmbeddingParams& p) {
  if (kHostMemory) check_ids(ids, p);
  launch_threads(context, p.n * p.features, embedding_v1, y, weight, ids, p);
}

void embedding_backward(Context& context, float* dweight, const float* dy, const int64_t* ids, const EmbeddingParams& p) {
  if (kHostMemory) check_ids(ids, p);
  launch_threads(context, p.vocabulary * p.features, embedding_backward_v1, dweight, dy, ids, p);
}

GRAFT_KERNEL(embedding, forward, GRAFT_GPU, float, EmbeddingForward);
GRAFT_KERNEL(embedding, backward, GRAFT_GPU, float, EmbeddingBackward);

}  // namespace graft::GRAFT_GPU
