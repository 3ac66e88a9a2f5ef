// Inverted dropout: y = x / (1 - p) or 0 x, by a random word for each element.
//
// | version | what it teaches |
// |---|---|
// | v1 | one thread four elements: one Philox evaluation gives four words, and nothing is stored for the backward pass |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/elementwise/dropout.h"

namespace graft::GRAFT_GPU {
namespace {

__global__ void __launch_bounds__(kThreads)
    dropout_v1(float* y, const float* x, Philox stream, uint32_t threshold, float scale, int64_t n) {
  const int64_t four = global_thread();
  if (4 * four >= n) return;
  const auto words = stream(uint64_t(four));
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int64_t i = 4 * four + j;
    if (i < n) y[i] = x[i] * (words[j] >> 8 < threshold ? 0.0f : scale);
  }
}

}  // namespace

void dropout_forward(Context& context, float* y, const float* x, const DropoutParams& p) {
  launch_threads(context, (p.n + 3) / 4, dropout_v1, y, x, p.stream, dropout_threshold(p.p), float(1 / (1 - p.p)), p.n);
}

GRAFT_KERNEL(dropout, forward, GRAFT_GPU, float, DropoutForward);

}  // namespace graft::GRAFT_GPU
