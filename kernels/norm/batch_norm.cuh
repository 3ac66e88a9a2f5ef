// Batch norm in vectors: version 2 of batch_norm_kernels.cuh, on the layout of columns.cuh. Channels in units of 16 bytes.
//
// Arrays that pass through memory: forward x for the statistics, if no convolution has made them, x (and the residual) and y;
// backward dy and x for the sums, then dy, x and dx. With relu both passes of backward read y too; where the residual has a
// gradient, the first writes it, and the second reads it alone in the place of dy and y: 7 arrays either way, 8 were it written by
// the second. The sum and relu as ops of their own would be 4 arrays more forward (2 without a sum) and 1 backward.
#pragma once
#include "kernels/norm/columns.cuh"
#include "kernels/norm/norm.h"

namespace graft::GRAFT_GPU {
namespace {

// Rows of a thread, by the arrays that it reads: as many vectors as its registers hold.
constexpr int kApplyRows = 8, kResidualApplyRows = 6, kSumRows = 4, kMaskedSumRows = 2, kDxRows = 6, kMaskedDxRows = 4;

// rstd of a channel, from rstd itself or from the variance.
struct Deviation {
  const float* p;
  float eps;  // negative: p is rstd
  __device__ float operator()(float v) const { return eps < 0.0f ? v : 1.0f / sqrtf(v + eps); }
};

// Where mean and rstd of a channel go, and what becomes of its running statistics. Without a mean: nowhere.
struct StoreDeviation {
  float *mean = nullptr, *rstd, *running_mean, *running_var;
  float rows, eps, momentum;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { (*this)(c, Moments{rows, mean[c], s.v[0]}); }
  __device__ void operator()(int64_t c, const Moments& m) const { keep(c, m.mean, m.squares / rows, m.squares / (rows - 1.0f)); }
  __device__ void keep(int64_t c, float m, float var, float unbiased) const {
    mean[c] = m;
    rstd[c] = 1.0f / sqrtf(var + eps);
    if (running_mean) running_mean[c] = (1.0f - momentum) * running_mean[c] + momentum * m;
    if (running_var) running_var[c] = (1.0f - momentum) * running_var[c] + momentum * unbiased;
  }
  // Where mean and variance were given.
  __device__ void keep(int64_t c, float m, float var) const { keep(c, m, var, var * (rows / (rows - 1.0f))); }
};

// relu or nothing, a NaN kept, by one comparison.
struct Floor {
  float below;
  explicit Floor(Activation f) : below(f == Activation::relu ? 0.0f : -INFINITY) {}
  __device__ float operator()(float v) const { return v < below ? 0.0f : v; }
};

// What reaches the sum: dz = dy, or dy where y > 0 if there is a y.
template <class T>
struct Upstream {
  const T *dy, *y;
};
__device__ inline float relu_gradient(float dy, float y) { return dy * (y > 0.0f ? 1.0f : 0.0f); }

// dz of the thread's rows.
template <int kRows, class T, Activation kActivation>
struct GradientRows {
  ColumnRows<kRows, T> dy;
  __device__ GradientRows(const Upstream<T>& up, const ColumnPlace& at) : dy(up.dy, at) {}
  __device__ Floats<kVector<T>> row(int k) const { return dy.row(k); }
};
template <int kRows, class T>
struct GradientRows<kRows, T, Activation::relu> {
  ColumnRows<kRows, T> dy, y;
  __device__ GradientRows(const Upstream<T>& up, const ColumnPlace& at) : dy(up.dy, at), y(up.y, at) {}
  __device__ Floats<kVector<T>> row(int k) const {
    auto g = dy.row(k);
    const auto value = y.row(k);
#pragma unroll
    for (int j = 0; j < kVector<T>; ++j) g.v[j] = relu_gradient(g.v[j], value.v[j]);
    return g;
  }
};

// y = f((x - mean) rstd weight + bias), without and with a residual in the sum.
template <int kRows, class T>
struct NoResidual {
  __device__ NoResidual(const T*, const ColumnPlace&) {}
  __device__ void add_to(Floats<kVector<T>>&, int) const {}
};
template <int kRows, class T>
struct ResidualRows {
  ColumnRows<kRows, T> rows;
  __device__ ResidualRows(const T* residual, const ColumnPlace& at) : rows(residual, at) {}
  __device__ void add_to(Floats<kVector<T>>& value, int k) const {
    const auto more = rows.row(k);
#pragma unroll
    for (int j = 0; j < kVector<T>; ++j) value.v[j] += more.v[j];
  }
};
template <template <int, class> class Residual, int kRows, class T>
__global__ void __launch_bounds__(kThreads, 2)
    batch_norm_v2(T* y, const T* x, const float* weight, const float* bias, const float* mean, Deviation deviation,
                  const T* residual, Floor floor, ColumnCut cut, StoreDeviation deviations) {
  constexpr int kWidth = kVector<T>;
  const ColumnPlace at(cut, kWidth);
  const ColumnRows<kRows, T> rows(x, at);
  const Residual<kRows, T> more(residual, at);
  float m[kWidth], s[kWidth], b[kWidth], w[kWidth];
  load_channels(m, mean, at, 0);
  load_channels(s, deviation.p, at, 0);
  load_channels(w, weight, at, 1);
  load_channels(b, bias, at, 0);
  if (deviations.mean && at.chunk == 0 && threadIdx.x < unsigned(cut.across) && at.has(0)) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) deviations.keep(at.c + j, m[j], s[j]);
  }
#pragma unroll
  for (int j = 0; j < kWidth; ++j) s[j] = deviation(s[j]) * w[j];
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (!at.has(k)) break;
    auto value = rows.row(k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) value.v[j] = (value.v[j] - m[j]) * s[j] + b[j];
    more.add_to(value, k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) value.v[j] = floor(value.v[j]);
    store<kWidth>(y + at.offset(k), value.v);
  }
}

// Of each chunk's rows: sum dz xhat and sum dz, partial[chunk][2][C]; and dz itself, where it is wanted.
template <Activation kActivation, int kRows, class T>
__global__ void __launch_bounds__(kThreads, kColumnBlocks)
    batch_norm_sums_v2(float* partial, T* dz, Upstream<T> up, const T* x, const float* mean, Deviation deviation, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  auto& sums = shared<ColumnSums<kWidth>>();
  ColumnPlace at(cut, kWidth);
  float m[kWidth], dweight[kWidth] = {}, dbias[kWidth] = {};
  load_channels(m, mean, at, 0);
#pragma unroll 1
  for (; at.has(0); at.advance(kRows)) {
    const ColumnRows<kRows, T> values(x, at);
    const GradientRows<kRows, T, kActivation> gradients(up, at);
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (!at.has(k)) break;
      const auto value = values.row(k), gradient = gradients.row(k);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        dweight[j] = fmaf(gradient.v[j], value.v[j] - m[j], dweight[j]);
        dbias[j] += gradient.v[j];
      }
      if constexpr (kActivation == Activation::relu)
        if (dz) store<kWidth>(dz + at.offset(k), gradient.v);
    }
  }
  add_columns(dweight, cut.across, sums);
  add_columns(dbias, cut.across, sums);
  if (threadIdx.x >= unsigned(cut.across) || at.c >= cut.channels) return;
  float s[kWidth];
  load<kWidth>(s, deviation.p + at.c);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) dweight[j] *= deviation(s[j]);
  float* out = partial + 2 * at.chunk * cut.channels + at.c;
  store<kWidth>(out, dweight);
  store<kWidth>(out + cut.channels, dbias);
}

// dx = rstd weight (dz - dbias / rows - xhat dweight / rows)
template <Activation kActivation, int kRows, class T>
__global__ void __launch_bounds__(kThreads, 2)
    batch_norm_dx_v2(T* dx, Upstream<T> up, const T* x, const float* weight, const float* mean, const float* rstd,
                     const float* dweight, const float* dbias, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  const ColumnPlace at(cut, kWidth);
  const ColumnRows<kRows, T> values(x, at);
  const GradientRows<kRows, T, kActivation> gradients(up, at);
  float m[kWidth], s[kWidth], w[kWidth], db[kWidth], dw[kWidth];
  load_channels(m, mean, at, 0);
  load_channels(s, rstd, at, 0);
  load_channels(w, weight, at, 1);
  load_channels(dw, dweight, at, 0);
  load_channels(db, dbias, at, 0);
  const float share = 1.0f / float(cut.rows);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    dw[j] *= s[j] * share;
    db[j] *= share;
    w[j] *= s[j];
  }
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (!at.has(k)) break;
    const auto value = values.row(k);
    auto gradient = gradients.row(k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) gradient.v[j] = w[j] * (gradient.v[j] - db[j] - (value.v[j] - m[j]) * dw[j]);
    store<kWidth>(dx + at.offset(k), gradient.v);
  }
}

// dx = rstd weight dz, and dz; either may be null.
template <Activation kActivation, int kRows, class T>
__global__ void __launch_bounds__(kThreads, kColumnBlocks)
    batch_norm_frozen_dx_v2(T* dx, T* dz, Upstream<T> up, const float* weight, Deviation deviation, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  const ColumnPlace at(cut, kWidth);
  float s[kWidth], w[kWidth];
  load_channels(s, deviation.p, at, 0);
  load_channels(w, weight, at, 1);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) w[j] *= deviation(s[j]);
  const GradientRows<kRows, T, kActivation> rows(up, at);
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (!at.has(k)) break;
    auto gradient = rows.row(k);
    if (dz) store<kWidth>(dz + at.offset(k), gradient.v);
    if (!dx) continue;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) gradient.v[j] *= w[j];
    store<kWidth>(dx + at.offset(k), gradient.v);
  }
}

// f.operator()<kActivation>() with relu where there is a y.
template <class T, class F>
void with_mask(const Upstream<T>& up, F f) {
  if (up.y) f.template operator()<Activation::relu>();
  else f.template operator()<Activation::none>();
}
constexpr int rows_for(Activation f, int plain, int masked) { return f == Activation::relu ? masked : plain; }

template <class T>
struct InVectors {
  template <class... P>
  static bool fit(const BatchNormParams& p, const P*... pointers) {
    return p.channels % kVector<T> == 0 && aligned_16(pointers...);
  }
  static ColumnCut cut(const BatchNormParams& p, int rows_of_thread) {
    return ColumnCut(p.rows, p.channels, kVector<T>, rows_of_thread);
  }
  template <class Store>
  static void statistics(Context& context, const T* x, const BatchNormParams& p, Store store) {
    const ColumnCut c = ColumnCut::for_sums(p.rows, p.channels, kVector<T>);
    const auto partial = device_scratch<float>(context, size_t(c.chunks * 2 * c.channels));
    launch_blocks(context, c.blocks(), kThreads, column_statistics<T>, partial.get(), x, c);
    launch_merge(context, partial.get(), c, store);
  }
  static void apply(Context& context, T* y, const T* x, const float* weight, const float* bias, const float* mean,
                    Deviation deviation, const T* residual, const BatchNormParams& p, const StoreDeviation& deviations) {
    const auto with = [&](auto kernel, int rows_of_thread) {
      const ColumnCut c = cut(p, rows_of_thread);
      launch_blocks(context, c.blocks(), kThreads, kernel, y, x, weight, bias, mean, deviation, residual, Floor(p.activation), c,
                    deviations);
    };
    if (residual) with(batch_norm_v2<ResidualRows, kResidualApplyRows, T>, kResidualApplyRows);
    else with(batch_norm_v2<NoResidual, kApplyRows, T>, kApplyRows);
  }
  template <class Store>
  static void parameter_sums(Context& context, T* dz, const Upstream<T>& up, const T* x, const float* mean, Deviation deviation,
                             const BatchNormParams& p, Store store) {
    const ColumnCut c = ColumnCut::for_sums(p.rows, p.channels, kVector<T>);
    const auto partial = device_scratch<float>(context, size_t(c.chunks * 2 * c.channels));
    with_mask(up, [&]<Activation f>() {
      launch_blocks(context, c.blocks(), kThreads, batch_norm_sums_v2<f, rows_for(f, kSumRows, kMaskedSumRows), T>, partial.get(),
                    dz, up, x, mean, deviation, c);
    });
    sum_columns(context, 1, c.chunks, c.channels, PartialTerm<2>{partial.get(), c.chunks, c.channels}, store);
  }
  static void dx(Context& context, T* dx, const Upstream<T>& up, const T* x, const float* weight, const float* mean,
                 const float* rstd, const float* dweight, const float* dbias, const BatchNormParams& p) {
    with_mask(up, [&]<Activation f>() {
      constexpr int kRows = rows_for(f, kDxRows, kMaskedDxRows);
      const ColumnCut c = cut(p, kRows);
      launch_blocks(context, c.blocks(), kThreads, batch_norm_dx_v2<f, kRows, T>, dx, up, x, weight, mean, rstd, dweight, dbias, c);
    });
  }
  static void frozen_dx(Context& context, T* dx, T* dz, const Upstream<T>& up, const float* weight, Deviation deviation,
                        const BatchNormParams& p) {
    with_mask(up, [&]<Activation f>() {
      constexpr int kRows = rows_for(f, kApplyRows, kMaskedDxRows);
      const ColumnCut c = cut(p, kRows);
      launch_blocks(context, c.blocks(), kThreads, batch_norm_frozen_dx_v2<f, kRows, T>, dx, dz, up, weight, deviation, c);
    });
  }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
