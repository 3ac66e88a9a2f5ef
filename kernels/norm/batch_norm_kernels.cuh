// y = (x - mean) rstd weight + bias over the rows of each channel, x[rows, C].
//
// | version | what it teaches |
// |---|---|
// | v1 forward  | two sums over columns (mean; then squares about it: no cancellation), then one thread a value |
// | v1 backward | both gradients of the parameters in one sum over columns; dx needs nothing else |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/norm/norm.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct MeanTerm {
  static constexpr int kSums = 1;
  const float* x;
  int64_t channels;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const { return {{x[r * channels + c]}}; }
};
struct StoreChannelMean {
  float* mean;
  float rows;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { mean[c] = s.v[0] / rows; }
};

struct SquareTerm {
  static constexpr int kSums = 1;
  const float *x, *mean;
  int64_t channels;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const {
    const float d = x[r * channels + c] - mean[c];
    return {{d * d}};
  }
};
struct StoreDeviation {
  float *rstd, *running_mean, *running_var;
  const float* mean;
  float rows, eps, momentum;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const {
    const float var = s.v[0] / rows;
    rstd[c] = 1.0f / sqrtf(var + eps);
    if (running_mean) running_mean[c] = (1.0f - momentum) * running_mean[c] + momentum * mean[c];
    if (running_var) running_var[c] = (1.0f - momentum) * running_var[c] + momentum * (s.v[0] / (rows - 1.0f));
  }
};

__global__ void __launch_bounds__(kThreads) batch_norm_v1(float* y, const float* x, const float* weight, const float* bias,
                                                          const float* mean, const float* rstd, int64_t channels, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const int64_t c = i % channels;
  y[i] = (x[i] - mean[c]) * rstd[c] * (weight ? weight[c] : 1.0f) + (bias ? bias[c] : 0.0f);
}

// dweight = sum dy xhat, dbias = sum dy. `deviation` holds rstd, or var where eps is not negative.
struct ParameterTerm {
  static constexpr int kSums = 2;
  const float *dy, *x, *mean, *deviation;
  int64_t channels;
  float eps;
  __device__ float rstd(int64_t c) const { return eps < 0.0f ? deviation[c] : 1.0f / sqrtf(deviation[c] + eps); }
  __device__ Sums<2> operator()(int64_t, int64_t r, int64_t c) const {
    const float g = dy[r * channels + c];
    return {{g * (x[r * channels + c] - mean[c]) * rstd(c), g}};
  }
};
struct StoreParameters {
  float *dweight, *dbias;  // null where not needed
  __device__ void operator()(int64_t, int64_t c, const Sums<2>& s) const {
    if (dweight) dweight[c] = s.v[0];
    if (dbias) dbias[c] = s.v[1];
  }
};

__global__ void __launch_bounds__(kThreads)
    batch_norm_dx_v1(float* dx, const float* dy, const float* x, const float* weight, const float* mean, const float* rstd,
                     const float* dweight, const float* dbias, int64_t channels, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const int64_t c = i % channels, count = size / channels;
  const float rows = float(count), xhat = (x[i] - mean[c]) * rstd[c];
  dx[i] = rstd[c] * (weight ? weight[c] : 1.0f) * (dy[i] - dbias[c] / rows - xhat * (dweight[c] / rows));
}

__global__ void __launch_bounds__(kThreads)
    batch_norm_frozen_v1(float* y, const float* x, const float* weight, const float* bias, const float* mean, const float* var,
                         float eps, int64_t channels, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const int64_t c = i % channels;
  y[i] = (x[i] - mean[c]) / sqrtf(var[c] + eps) * (weight ? weight[c] : 1.0f) + (bias ? bias[c] : 0.0f);
}

__global__ void __launch_bounds__(kThreads) batch_norm_frozen_dx_v1(float* dx, const float* dy, const float* weight,
                                                                    const float* var, float eps, int64_t channels, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const int64_t c = i % channels;
  dx[i] = dy[i] / sqrtf(var[c] + eps) * (weight ? weight[c] : 1.0f);
}

}  // namespace

void batch_norm_forward(Context& context, float* y, float* mean, float* rstd, float* running_mean, float* running_var,
                        const float* x, const float* weight, const float* bias, const BatchNormParams& p) {
  const int64_t C = p.channels, size = p.rows * C;
  const float rows = float(p.rows);
  sum_columns(context, 1, p.rows, C, MeanTerm{x, C}, StoreChannelMean{mean, rows});
  sum_columns(context, 1, p.rows, C, SquareTerm{x, mean, C},
              StoreDeviation{rstd, running_mean, running_var, mean, rows, float(p.eps), float(p.momentum)});
  launch_threads(context, size, batch_norm_v1, y, x, weight, bias, mean, rstd, C, size);
}

void batch_norm_backward(Context& context, float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                         const float* weight, const float* mean, const float* rstd, const BatchNormParams& p) {
  const int64_t C = p.channels, size = p.rows * C;
  const auto sums = device_scratch<float>(context, size_t(2 * C));
  if (!dweight) dweight = sums.get();
  if (!dbias) dbias = sums.get() + C;
  sum_columns(context, 1, p.rows, C, ParameterTerm{dy, x, mean, rstd, C, -1.0f}, StoreParameters{dweight, dbias});
  if (dx) launch_threads(context, size, batch_norm_dx_v1, dx, dy, x, weight, mean, rstd, dweight, dbias, C, size);
}

void batch_norm_frozen_forward(Context& context, float* y, const float* x, const float* weight, const float* bias,
                               const float* mean, const float* var, const BatchNormParams& p) {
  const int64_t size = p.rows * p.channels;
  launch_threads(context, size, batch_norm_frozen_v1, y, x, weight, bias, mean, var, float(p.eps), p.channels, size);
}

void batch_norm_frozen_backward(Context& context, float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                                const float* weight, const float* mean, const float* var, const BatchNormParams& p) {
  const int64_t C = p.channels, size = p.rows * C;
  if (dweight || dbias)
    sum_columns(context, 1, p.rows, C, ParameterTerm{dy, x, mean, var, C, float(p.eps)}, StoreParameters{dweight, dbias});
  if (dx) launch_threads(context, size, batch_norm_frozen_dx_v1, dx, dy, weight, var, float(p.eps), C, size);
}

GRAFT_KERNEL(batch_norm, forward, GRAFT_GPU, float, BatchNormForward);
GRAFT_KERNEL(batch_norm, backward, GRAFT_GPU, float, BatchNormBackward);
GRAFT_KERNEL(batch_norm_frozen, forward, GRAFT_GPU, float, BatchNormFrozenForward);
GRAFT_KERNEL(batch_norm_frozen, backward, GRAFT_GPU, float, BatchNormFrozenBackward);

}  // namespace graft::GRAFT_GPU
