// Batch norm in vectors: version 2 of batch_norm_kernels.cuh, on the layout of columns.cuh. Channels in units of 16 bytes.
//
// Forward reads x for the statistics and again for y; backward reads dy and x for the sums and again for dx. Bytes an element:
// forward 12 in f32, 6 in bf16; backward 20 and 10; with given statistics 8 and 4, backward 12 and 6.
#pragma once
#include "kernels/norm/columns.cuh"
#include "kernels/norm/norm.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kApplyRows = 8, kSumRowsAtOnce = 4, kDxRows = 6;

// rstd of a channel, from rstd itself or from the variance.
struct Deviation {
  const float* p;
  float eps;  // negative: p is rstd
  __device__ float operator()(float v) const { return eps < 0.0f ? v : 1.0f / sqrtf(v + eps); }
};

// y = (x - mean) rstd weight + bias
template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    batch_norm_v2(T* y, const T* x, const float* weight, const float* bias, const float* mean, Deviation deviation, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  const ColumnPlace at(cut, kWidth);
  const ColumnRows<kApplyRows, T> rows(x, at);
  float m[kWidth], s[kWidth], b[kWidth], w[kWidth];
  load_channels(m, mean, at, 0);
  load_channels(s, deviation.p, at, 0);
  load_channels(w, weight, at, 1);
  load_channels(b, bias, at, 0);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) s[j] = deviation(s[j]) * w[j];
#pragma unroll
  for (int k = 0; k < kApplyRows; ++k) {
    if (!at.has(k)) break;
    auto value = rows.row(k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) value.v[j] = (value.v[j] - m[j]) * s[j] + b[j];
    store<kWidth>(y + at.offset(k), value.v);
  }
}

// Of each chunk's rows: sum dy xhat and sum dy, partial[chunk][2][C].
template <class T>
__global__ void __launch_bounds__(kThreads, kColumnBlocks)
    batch_norm_sums_v2(float* partial, const T* dy, const T* x, const float* mean, Deviation deviation, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  auto& sums = shared<ColumnSums<kWidth>>();
  ColumnPlace at(cut, kWidth);
  float m[kWidth], dweight[kWidth] = {}, dbias[kWidth] = {};
  load_channels(m, mean, at, 0);
#pragma unroll 1
  for (; at.has(0); at.advance(kSumRowsAtOnce)) {
    const ColumnRows<kSumRowsAtOnce, T> values(x, at), gradients(dy, at);
#pragma unroll
    for (int k = 0; k < kSumRowsAtOnce; ++k) {
      if (!at.has(k)) break;
      const auto value = values.row(k), gradient = gradients.row(k);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        dweight[j] = fmaf(gradient.v[j], value.v[j] - m[j], dweight[j]);
        dbias[j] += gradient.v[j];
      }
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

// dx = rstd weight (dy - dbias / rows - xhat dweight / rows)
template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    batch_norm_dx_v2(T* dx, const T* dy, const T* x, const float* weight, const float* mean, const float* rstd,
                     const float* dweight, const float* dbias, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  const ColumnPlace at(cut, kWidth);
  const ColumnRows<kDxRows, T> values(x, at), gradients(dy, at);
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
  for (int k = 0; k < kDxRows; ++k) {
    if (!at.has(k)) break;
    const auto value = values.row(k);
    auto gradient = gradients.row(k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) gradient.v[j] = w[j] * (gradient.v[j] - db[j] - (value.v[j] - m[j]) * dw[j]);
    store<kWidth>(dx + at.offset(k), gradient.v);
  }
}

// dx = rstd weight dy
template <class T>
__global__ void __launch_bounds__(kThreads, kColumnBlocks)
    batch_norm_frozen_dx_v2(T* dx, const T* dy, const float* weight, Deviation deviation, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  const ColumnPlace at(cut, kWidth);
  float s[kWidth], w[kWidth];
  load_channels(s, deviation.p, at, 0);
  load_channels(w, weight, at, 1);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) w[j] *= deviation(s[j]);
  const ColumnRows<kApplyRows, T> rows(dy, at);
#pragma unroll
  for (int k = 0; k < kApplyRows; ++k) {
    if (!at.has(k)) break;
    auto gradient = rows.row(k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) gradient.v[j] *= w[j];
    store<kWidth>(dx + at.offset(k), gradient.v);
  }
}

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
                    Deviation deviation, const BatchNormParams& p) {
    const ColumnCut c = cut(p, kApplyRows);
    launch_blocks(context, c.blocks(), kThreads, batch_norm_v2<T>, y, x, weight, bias, mean, deviation, c);
  }
  template <class Store>
  static void parameter_sums(Context& context, const T* dy, const T* x, const float* mean, Deviation deviation,
                             const BatchNormParams& p, Store store) {
    const ColumnCut c = ColumnCut::for_sums(p.rows, p.channels, kVector<T>);
    const auto partial = device_scratch<float>(context, size_t(c.chunks * 2 * c.channels));
    launch_blocks(context, c.blocks(), kThreads, batch_norm_sums_v2<T>, partial.get(), dy, x, mean, deviation, c);
    sum_columns(context, 1, c.chunks, c.channels, PartialTerm<2>{partial.get(), c.chunks, c.channels}, store);
  }
  static void dx(Context& context, T* dx, const T* dy, const T* x, const float* weight, const float* mean, const float* rstd,
                 const float* dweight, const float* dbias, const BatchNormParams& p) {
    const ColumnCut c = cut(p, kDxRows);
    launch_blocks(context, c.blocks(), kThreads, batch_norm_dx_v2<T>, dx, dy, x, weight, mean, rstd, dweight, dbias, c);
  }
  static void frozen_dx(Context& context, T* dx, const T* dy, const float* weight, Deviation deviation, const BatchNormParams& p) {
    const ColumnCut c = cut(p, kApplyRows);
    launch_blocks(context, c.blocks(), kThreads, batch_norm_frozen_dx_v2<T>, dx, dy, weight, deviation, c);
  }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
