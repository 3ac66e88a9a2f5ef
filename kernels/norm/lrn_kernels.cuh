// y_c = x_c d_c^-beta,  d_c = k + alpha / size sum of x^2 over channels c - size/2 .. c + (size-1)/2.
//
// | version | what it teaches |
// |---|---|
// | v1 | one thread a value; it sums its own window, neighbours share it through the cache |
// | v1 backward | a window of windows: size^2 loads a value, no scratch |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/norm/norm.h"

namespace graft::GRAFT_GPU {
namespace {

struct LrnConstants {
  int64_t rows, channels, size;
  float share, beta, k;  // share: alpha / size
};

// d_c of the row at x.
__device__ inline float lrn_denominator(const float* x, int64_t c, const LrnConstants& p) {
  const int64_t low = c - p.size / 2, high = c + (p.size - 1) / 2;
  float sum = 0;
  for (int64_t j = low < 0 ? 0 : low; j <= high && j < p.channels; ++j) sum = fmaf(x[j], x[j], sum);
  return fmaf(p.share, sum, p.k);
}

__global__ void __launch_bounds__(kThreads) lrn_v1(float* y, const float* x, LrnConstants p) {
  const int64_t i = global_thread();
  if (i >= p.rows * p.channels) return;
  const int64_t c = i % p.channels;
  y[i] = x[i] * powf(lrn_denominator(x + i - c, c, p), -p.beta);
}

__global__ void __launch_bounds__(kThreads) lrn_backward_v1(float* dx, const float* dy, const float* x, LrnConstants p) {
  const int64_t i = global_thread();
  if (i >= p.rows * p.channels) return;
  const int64_t c = i % p.channels, row = i - c, low = c - (p.size - 1) / 2, high = c + p.size / 2;
  float sum = 0;  // over the windows that hold c
  for (int64_t j = low < 0 ? 0 : low; j <= high && j < p.channels; ++j)
    sum += dy[row + j] * x[row + j] * powf(lrn_denominator(x + row, j, p), -p.beta - 1.0f);
  dx[i] = dy[i] * powf(lrn_denominator(x + row, c, p), -p.beta) - 2.0f * p.share * p.beta * x[i] * sum;
}

LrnConstants lrn_constants(const LrnParams& p) {
  return {p.rows, p.channels, p.size, float(p.alpha / double(p.size)), float(p.beta), float(p.k)};
}

}  // namespace

void lrn_forward(Context& context, float* y, const float* x, const LrnParams& p) {
  launch_threads(context, p.rows * p.channels, lrn_v1, y, x, lrn_constants(p));
}
void lrn_backward(Context& context, float* dx, const float* dy, const float* x, const LrnParams& p) {
  launch_threads(context, p.rows * p.channels, lrn_backward_v1, dx, dy, x, lrn_constants(p));
}

GRAFT_KERNEL(lrn, forward, GRAFT_GPU, float, LrnForward);
GRAFT_KERNEL(lrn, backward, GRAFT_GPU, float, LrnBackward);

}  // namespace graft::GRAFT_GPU
