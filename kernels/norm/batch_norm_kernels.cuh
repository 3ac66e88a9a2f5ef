// y = f((x - mean) rstd weight + bias + residual) over the rows of each channel, x[rows, C]; f32 and bf16, all but x, y, residual
// and their gradients f32.
//
// v1 plain    forward: two sums over columns (mean; then squares about it: no cancellation), then one thread a value: three
//             reads; backward: both gradients of the parameters in one sum over columns, dx needs nothing else; accepts all
// v2 vectors  batch_norm.cuh: 16 bytes of channels a thread, statistics from one read. Channels in units of 16 bytes
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/norm/batch_norm.cuh"
#include "kernels/norm/norm.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
struct MeanTerm {
  static constexpr int kSums = 1;
  const T* x;
  int64_t channels;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const { return {{to_float(x[r * channels + c])}}; }
};
struct StoreChannelMean {
  float* mean;
  float rows;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { mean[c] = s.v[0] / rows; }
};

template <class T>
struct SquareTerm {
  static constexpr int kSums = 1;
  const T* x;
  const float* mean;
  int64_t channels;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const {
    const float d = to_float(x[r * channels + c]) - mean[c];
    return {{d * d}};
  }
};
template <class T>
__global__ void __launch_bounds__(kThreads)
    batch_norm_v1(T* y, const T* x, const float* weight, const float* bias, const float* mean, Deviation deviation,
                  const T* residual, Floor floor, int64_t channels, int64_t size, StoreDeviation deviations) {
  const int64_t i = global_thread();
  if (i >= size) return;
  if (deviations.mean && i < channels) deviations.keep(i, mean[i], deviation.p[i]);
  const int64_t c = i % channels;
  const float normal = (to_float(x[i]) - mean[c]) * deviation(deviation.p[c]) * (weight ? weight[c] : 1.0f);
  y[i] = from_float<T>(floor(normal + (bias ? bias[c] : 0.0f) + (residual ? to_float(residual[i]) : 0.0f)));
}

template <class T>
__device__ float gradient_at(const Upstream<T>& up, int64_t i) {
  return up.y ? relu_gradient(to_float(up.dy[i]), to_float(up.y[i])) : to_float(up.dy[i]);
}

// dweight = sum dz xhat, dbias = sum dz.
template <class T>
struct ParameterTerm {
  static constexpr int kSums = 2;
  Upstream<T> up;
  const T* x;
  const float* mean;
  Deviation deviation;
  int64_t channels;
  __device__ Sums<2> operator()(int64_t, int64_t r, int64_t c) const {
    const float g = gradient_at(up, r * channels + c);
    return {{g * (to_float(x[r * channels + c]) - mean[c]) * deviation(deviation.p[c]), g}};
  }
};
struct StoreParameters {
  float *dweight, *dbias;  // null where not needed
  __device__ void operator()(int64_t, int64_t c, const Sums<2>& s) const {
    if (dweight) dweight[c] = s.v[0];
    if (dbias) dbias[c] = s.v[1];
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    batch_norm_dx_v1(T* dx, Upstream<T> up, const T* x, const float* weight, const float* mean, const float* rstd,
                     const float* dweight, const float* dbias, int64_t channels, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const int64_t c = i % channels, count = size / channels;
  const float rows = float(count), xhat = (to_float(x[i]) - mean[c]) * rstd[c];
  dx[i] =
      from_float<T>(rstd[c] * (weight ? weight[c] : 1.0f) * (gradient_at(up, i) - dbias[c] / rows - xhat * (dweight[c] / rows)));
}

template <class T>
__global__ void __launch_bounds__(kThreads) batch_norm_frozen_dx_v1(T* dx, T* dz, Upstream<T> up, const float* weight,
                                                                    Deviation deviation, int64_t channels, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const int64_t c = i % channels;
  const float g = gradient_at(up, i);
  if (dz) dz[i] = from_float<T>(g);
  if (dx) dx[i] = from_float<T>(g * deviation(deviation.p[c]) * (weight ? weight[c] : 1.0f));
}

template <class T>
__global__ void __launch_bounds__(kThreads) relu_gradient_v1(T* dz, Upstream<T> up, int64_t size) {
  const int64_t i = global_thread();
  if (i < size) dz[i] = from_float<T>(gradient_at(up, i));
}

// The steps that both versions consist of.
template <class T>
struct Plain {
  template <class... P>
  static bool fit(const BatchNormParams&, const P*...) {
    return true;
  }
  static void statistics(Context& context, const T* x, const BatchNormParams& p, const StoreDeviation& store) {
    sum_columns(context, 1, p.rows, p.channels, MeanTerm<T>{x, p.channels}, StoreChannelMean{store.mean, float(p.rows)});
    sum_columns(context, 1, p.rows, p.channels, SquareTerm<T>{x, store.mean, p.channels}, store);
  }
  static void apply(Context& context, T* y, const T* x, const float* weight, const float* bias, const float* mean,
                    Deviation deviation, const T* residual, const BatchNormParams& p, const StoreDeviation& deviations) {
    const int64_t size = p.rows * p.channels;
    launch_threads(context, size, batch_norm_v1<T>, y, x, weight, bias, mean, deviation, residual, Floor(p.activation), p.channels,
                   size, deviations);
  }
  static void parameter_sums(Context& context, T* dz, const Upstream<T>& up, const T* x, const float* mean, Deviation deviation,
                             const BatchNormParams& p, const StoreParameters& store) {
    const int64_t size = p.rows * p.channels;
    if (dz) launch_threads(context, size, relu_gradient_v1<T>, dz, up, size);
    sum_columns(context, 1, p.rows, p.channels, ParameterTerm<T>{up, x, mean, deviation, p.channels}, store);
  }
  static void dx(Context& context, T* dx, const Upstream<T>& up, const T* x, const float* weight, const float* mean,
                 const float* rstd, const float* dweight, const float* dbias, const BatchNormParams& p) {
    const int64_t size = p.rows * p.channels;
    launch_threads(context, size, batch_norm_dx_v1<T>, dx, up, x, weight, mean, rstd, dweight, dbias, p.channels, size);
  }
  static void frozen_dx(Context& context, T* dx, T* dz, const Upstream<T>& up, const float* weight, Deviation deviation,
                        const BatchNormParams& p) {
    const int64_t size = p.rows * p.channels;
    launch_threads(context, size, batch_norm_frozen_dx_v1<T>, dx, dz, up, weight, deviation, p.channels, size);
  }
};

template <template <class> class Steps, class T>
struct BatchNorm {
  using S = Steps<T>;
  using P = BatchNormParams;
  static bool supports_forward(T* y, float* mean, float* rstd, float*, float*, const T* x, const float* weight, const float* bias,
                               const T* residual, const float* statistics, const P& p) {
    return S::fit(p, y, x, mean, rstd, weight, bias, residual, statistics);
  }
  static void forward(Context& context, T* y, float* mean, float* rstd, float* running_mean, float* running_var, const T* x,
                      const float* weight, const float* bias, const T* residual, const float* statistics, const P& p) {
    const StoreDeviation deviations{mean, rstd, running_mean, running_var, float(p.rows), float(p.eps), float(p.momentum)};
    if (statistics) {
      const Deviation given{statistics + p.channels, float(p.eps)};
      return S::apply(context, y, x, weight, bias, statistics, given, residual, p, deviations);
    }
    S::statistics(context, x, p, deviations);
    S::apply(context, y, x, weight, bias, mean, Deviation{rstd, -1}, residual, p, {});
  }
  static bool supports_backward(T* dx, float* dweight, float* dbias, T* dresidual, const T* dy, const T* x, const T* y,
                                const float* weight, const float* mean, const float* deviation, const P& p) {
    return S::fit(p, dx, dweight, dbias, dresidual, dy, x, y, weight, mean, deviation);
  }
  static void backward(Context& context, T* dx, float* dweight, float* dbias, T* dresidual, const T* dy, const T* x, const T* y,
                       const float* weight, const float* mean, const float* rstd, const P& p) {
    const int64_t line = ceil_div(p.channels, 4) * 4;
    const auto sums = device_scratch<float>(context, size_t(2 * line));
    if (!dweight) dweight = sums.get();
    if (!dbias) dbias = sums.get() + line;
    Upstream<T> up{dy, y};
    S::parameter_sums(context, dresidual, up, x, mean, Deviation{rstd, -1}, p, StoreParameters{dweight, dbias});
    if (dresidual) up = {dresidual, nullptr};
    if (dx) S::dx(context, dx, up, x, weight, mean, rstd, dweight, dbias, p);
  }
  static bool supports_frozen(T* y, const T* x, const float* weight, const float* bias, const float* mean, const float* var,
                              const T* residual, const P& p) {
    return S::fit(p, y, x, weight, bias, mean, var, residual);
  }
  static void frozen(Context& context, T* y, const T* x, const float* weight, const float* bias, const float* mean,
                     const float* var, const T* residual, const P& p) {
    S::apply(context, y, x, weight, bias, mean, Deviation{var, float(p.eps)}, residual, p, {});
  }
  static void frozen_backward(Context& context, T* dx, float* dweight, float* dbias, T* dresidual, const T* dy, const T* x,
                              const T* y, const float* weight, const float* mean, const float* var, const P& p) {
    const Deviation deviation{var, float(p.eps)};
    const Upstream<T> up{dy, y};
    T* const none = nullptr;
    if (dweight || dbias) S::parameter_sums(context, none, up, x, mean, deviation, p, StoreParameters{dweight, dbias});
    if (dx || dresidual) S::frozen_dx(context, dx, dresidual, up, weight, deviation, p);
  }
};

template <class T>
constexpr Rung<BatchNormForward<T>> kForward[] = {
    {{1, "plain"}, accepts_all, BatchNorm<Plain, T>::forward},
    {{2, "vectors"}, BatchNorm<InVectors, T>::supports_forward, BatchNorm<InVectors, T>::forward},
};
template <class T>
constexpr Rung<BatchNormBackward<T>> kBackward[] = {
    {{1, "plain"}, accepts_all, BatchNorm<Plain, T>::backward},
    {{2, "vectors"}, BatchNorm<InVectors, T>::supports_backward, BatchNorm<InVectors, T>::backward},
};
template <class T>
constexpr Rung<BatchNormFrozenForward<T>> kFrozen[] = {
    {{1, "plain"}, accepts_all, BatchNorm<Plain, T>::frozen},
    {{2, "vectors"}, BatchNorm<InVectors, T>::supports_frozen, BatchNorm<InVectors, T>::frozen},
};
template <class T>
constexpr Rung<BatchNormFrozenBackward<T>> kFrozenBackward[] = {
    {{1, "plain"}, accepts_all, BatchNorm<Plain, T>::frozen_backward},
    {{2, "vectors"}, BatchNorm<InVectors, T>::supports_backward, BatchNorm<InVectors, T>::frozen_backward},
};

}  // namespace

template <class T>
void batch_norm_forward(Context& context, T* y, Accumulate<T>* mean, Accumulate<T>* rstd, Accumulate<T>* running_mean,
                        Accumulate<T>* running_var, const T* x, const Accumulate<T>* weight, const Accumulate<T>* bias,
                        const T* residual, const Accumulate<T>* statistics, const BatchNormParams& p) {
  run_version(Op::batch_norm, kForward<T>, context, y, mean, rstd, running_mean, running_var, x, weight, bias, residual, statistics,
              p);
}
template <class T>
void batch_norm_backward(Context& context, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, T* dresidual, const T* dy,
                         const T* x, const T* y, const Accumulate<T>* weight, const Accumulate<T>* mean, const Accumulate<T>* rstd,
                         const BatchNormParams& p) {
  run_version(Op::batch_norm, kBackward<T>, context, dx, dweight, dbias, dresidual, dy, x, y, weight, mean, rstd, p);
}
template <class T>
void batch_norm_frozen_forward(Context& context, T* y, const T* x, const Accumulate<T>* weight, const Accumulate<T>* bias,
                               const Accumulate<T>* mean, const Accumulate<T>* var, const T* residual, const BatchNormParams& p) {
  run_version(Op::batch_norm_frozen, kFrozen<T>, context, y, x, weight, bias, mean, var, residual, p);
}
template <class T>
void batch_norm_frozen_backward(Context& context, T* dx, Accumulate<T>* dweight, Accumulate<T>* dbias, T* dresidual, const T* dy,
                                const T* x, const T* y, const Accumulate<T>* weight, const Accumulate<T>* mean,
                                const Accumulate<T>* var, const BatchNormParams& p) {
  run_version(Op::batch_norm_frozen, kFrozenBackward<T>, context, dx, dweight, dbias, dresidual, dy, x, y, weight, mean, var, p);
}

GRAFT_GPU_KERNEL(batch_norm, forward, BatchNormForward, kForward);
GRAFT_GPU_KERNEL(batch_norm, backward, BatchNormBackward, kBackward);
GRAFT_GPU_KERNEL(batch_norm_frozen, forward, BatchNormFrozenForward, kFrozen);
GRAFT_GPU_KERNEL(batch_norm_frozen, backward, BatchNormFrozenBackward, kFrozenBackward);

}  // namespace graft::GRAFT_GPU
