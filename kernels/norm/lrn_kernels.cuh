// y_c = x_c d_c^-beta,  d_c = k + alpha / size sum of x^2 over channels c - size/2 .. c + (size-1)/2; f32 and bf16.
//
// v1           one thread a value; it sums its own window, neighbours share it through the cache
// v1 backward  a window of windows: size^2 loads a value, no scratch
#include "kernels/common/ptx.h"
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
template <class T>
__device__ float lrn_denominator(const T* x, int64_t c, const LrnConstants& p) {
  const int64_t low = c - p.size / 2, high = c + (p.size - 1) / 2;
  float sum = 0;
  for (int64_t j = low < 0 ? 0 : low; j <= high && j < p.channels; ++j) sum = fmaf(to_float(x[j]), to_float(x[j]), sum);
  return fmaf(p.share, sum, p.k);
}

template <class T>
__global__ void __launch_bounds__(kThreads) lrn_v1(T* y, const T* x, LrnConstants p) {
  const int64_t i = global_thread();
  if (i >= p.rows * p.channels) return;
  const int64_t c = i % p.channels;
  y[i] = from_float<T>(to_float(x[i]) * powf(lrn_denominator(x + i - c, c, p), -p.beta));
}

template <class T>
__global__ void __launch_bounds__(kThreads) lrn_backward_v1(T* dx, const T* dy, const T* x, LrnConstants p) {
  const int64_t i = global_thread();
  if (i >= p.rows * p.channels) return;
  const int64_t c = i % p.channels, row = i - c, low = c - (p.size - 1) / 2, high = c + p.size / 2;
  float sum = 0;  // over the windows that hold c
  for (int64_t j = low < 0 ? 0 : low; j <= high && j < p.channels; ++j)
    sum += to_float(dy[row + j]) * to_float(x[row + j]) * powf(lrn_denominator(x + row, j, p), -p.beta - 1.0f);
  const float kept = to_float(dy[i]) * powf(lrn_denominator(x + row, c, p), -p.beta);
  dx[i] = from_float<T>(kept - 2.0f * p.share * p.beta * to_float(x[i]) * sum);
}

LrnConstants lrn_constants(const LrnParams& p) {
  return {p.rows, p.channels, p.size, float(p.alpha / double(p.size)), float(p.beta), float(p.k)};
}

}  // namespace

template <class T>
void lrn_forward(Context& context, T* y, const T* x, const LrnParams& p) {
  launch_threads(context, p.rows * p.channels, lrn_v1<T>, y, x, lrn_constants(p));
}
template <class T>
void lrn_backward(Context& context, T* dx, const T* dy, const T* x, const LrnParams& p) {
  launch_threads(context, p.rows * p.channels, lrn_backward_v1<T>, dx, dy, x, lrn_constants(p));
}

GRAFT_KERNEL(lrn, forward, GRAFT_GPU, float, LrnForward);
GRAFT_KERNEL(lrn, forward, GRAFT_GPU, BFloat16, LrnForward);
GRAFT_KERNEL(lrn, backward, GRAFT_GPU, BFloat16, LrnBackward);
GRAFT_KERNEL(lrn, backward, GRAFT_GPU, float, LrnBackward);

}  // namespace graft::GRAFT_GPU
