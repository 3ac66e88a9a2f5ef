// Version 2 of depthwise convolution. A thread has 16 bytes of channels; of every row of the source it reads a window once,
// column by column, and adds each value into all the outputs of its strip that meet it, in registers:
//   forward  the strip lies in y, the source is x: column r of the window meets tap k of output (r - k) / stride
//   dgrad    the strip lies in dx, the source is dy: column r meets tap k of output stride r + k; strips start where the
//            taps that a stride leaves out are the same for all, so that they are known at compile time
//   wgrad    the strip is of dy in registers, the window of x: column r times dy[(r - k) / stride] adds to tap k
// A block is 8 threads of channels (whole lines of 128 bytes), 2 strips and 16 rows: neighbours find the halo in L1.
#pragma once
#include "kernels/conv2d/conv2d.h"
#include "kernels/common/divide.h"
#include "kernels/common/vectors.h"
#include "kernels/matmul/product.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kStrip = 4, kLanes = 8, kStrips = 2, kRows = 16;  // outputs; then threads of a block
static_assert(kLanes * kStrips * kRows == kThreads);

struct WindowShape {
  int h, w, c;             // of the result that is made of strips
  int source_h, source_w;  // of the other image
  int rows;                // of all images: n h
  Divisor rows_of_image;   // h
  int kh, padding, shift;  // shift: the first strip starts that much before column 0
};

// Pixels of the window of a strip, and where the first lies: forward, wgrad: relative to column stride strip - padding;
// dgrad: to (column + padding) / stride.
template <Pass kPass, int kKernel, int kStride>
struct Window {
  static constexpr bool kGather = kPass == Pass::dgrad;
  static constexpr int kFirst = kGather ? -((kKernel - 1) / kStride) : 0;
  static constexpr int kEnd = kGather ? (kStrip - 1) / kStride + 1 : (kStrip - 1) * kStride + kKernel;
  // The output of the strip that column r and tap k meet in; outside of 0 .. kStrip - 1: none.
  static __host__ __device__ constexpr int output(int r, int k) {
    if (kGather) return kStride * r + k;
    return r < k || (r - k) % kStride ? -1 : (r - k) / kStride;
  }
};

// weight[c][tap] as floats [tap][c]: what neighbouring threads read are neighbours.
template <class T>
__global__ void __launch_bounds__(kThreads) filters_by_tap_v2(float* by_tap, const T* weight, int64_t c, int64_t taps) {
  for (int64_t i = global_thread(); i < c * taps; i += global_threads()) by_tap[i] = to_float(weight[i % c * taps + i / c]);
}

template <class T, Pass kPass, int kKernel, int kStride>
__global__ void __launch_bounds__(kThreads)
    depthwise_v2(T* result, const T* source, const float* by_tap, const T* bias, WindowShape s, Activation activation) {
  constexpr int kWidth = kVector<T>;
  using W = Window<kPass, kKernel, kStride>;
  const int lanes = (s.c / kWidth + kLanes - 1) / kLanes, strips = (s.w + s.shift + kStrip * kStrips - 1) / (kStrip * kStrips);
  const int block = int(blockIdx.x), thread = int(threadIdx.x);
  const int channel = (block % lanes * kLanes + thread % kLanes) * kWidth;
  const int column = (block / lanes % strips * kStrips + thread / kLanes % kStrips) * kStrip - s.shift;
  const int row = block / lanes / strips * kRows + thread / (kLanes * kStrips);
  if (channel >= s.c || row >= s.rows || column >= s.w) return;
  const int image = s.rows_of_image.quotient(row), at = row - image * s.h;

  float sum[kStrip][kWidth] = {};
  for (int kh = 0; kh < s.kh; ++kh) {
    int from = W::kGather ? at + s.padding - kh : at * kStride - s.padding + kh;
    if (W::kGather) {
      if (from < 0 || from % kStride) continue;
      from /= kStride;
    }
    if (unsigned(from) >= unsigned(s.source_h)) continue;
    const T* const line = source + (int64_t(image) * s.source_h + from) * s.source_w * s.c + channel;
    const int origin = W::kGather ? (column + s.padding) / kStride : column * kStride - s.padding;
    float weight[kKernel][kWidth];
#pragma unroll
    for (int k = 0; k < kKernel; ++k) load(weight[k], by_tap + (kh * kKernel + k) * s.c + channel);
#pragma unroll
    for (int r = W::kFirst; r < W::kEnd; ++r) {
      if (unsigned(origin + r) >= unsigned(s.source_w)) continue;
      float v[kWidth];
      load(v, line + int64_t(origin + r) * s.c);
#pragma unroll
      for (int k = 0; k < kKernel; ++k) {
        const int o = W::output(r, k);
        if (o < 0 || o >= kStrip) continue;
#pragma unroll
        for (int e = 0; e < kWidth; ++e) sum[o][e] = fmaf(v[e], weight[k][e], sum[o][e]);
      }
    }
  }
#pragma unroll
  for (int o = 0; o < kStrip; ++o) {
    if (column + o < 0 || column + o >= s.w) continue;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      if (bias) sum[o][e] += to_float(bias[channel + e]);
      if (activation == Activation::relu && sum[o][e] < 0) sum[o][e] = 0;
    }
    store(result + (int64_t(row) * s.w + column + o) * s.c + channel, sum[o]);
  }
}

// Block (lanes, part): the rows of a part of all images, every tap. Threads: channels, then rows of the filter, then rows of
// the part in turns. partial[part][tap][c].
template <class T, int kKernel, int kStride>
__global__ void __launch_bounds__(kThreads)
    depthwise_wgrad_v2(float* partial, const T* dy, const T* x, WindowShape s, int rows_of_part) {
  constexpr int kWidth = kVector<T>, kSlots = kThreads / kLanes;
  using W = Window<Pass::wgrad, kKernel, kStride>;
  struct Smem {
    float sum[kSlots][kLanes * kWidth];
  };
  auto& smem = shared<Smem>();
  const int lanes = (s.c / kWidth + kLanes - 1) / kLanes, lane = int(threadIdx.x) % kLanes, slot = int(threadIdx.x) / kLanes;
  const int part = int(blockIdx.x) / lanes, channel = (int(blockIdx.x) % lanes * kLanes + lane) * kWidth;
  const int kh = slot % s.kh, turns = kSlots / s.kh, end = part * rows_of_part + rows_of_part;
  const bool works = channel < s.c && slot / s.kh < turns;

  float sum[kKernel][kWidth] = {};
  for (int row = part * rows_of_part + slot / s.kh; works && row < end && row < s.rows; row += turns) {
    const int image = s.rows_of_image.quotient(row), from = (row - image * s.h) * kStride - s.padding + kh;
    if (unsigned(from) >= unsigned(s.source_h)) continue;
    const T* const line = x + (int64_t(image) * s.source_h + from) * s.source_w * s.c + channel;
    for (int column = 0; column < s.w; column += kStrip) {
      float g[kStrip][kWidth] = {};
#pragma unroll
      for (int o = 0; o < kStrip; ++o)
        if (column + o < s.w) load(g[o], dy + (int64_t(row) * s.w + column + o) * s.c + channel);
      const int origin = column * kStride - s.padding;
#pragma unroll
      for (int r = W::kFirst; r < W::kEnd; ++r) {
        if (unsigned(origin + r) >= unsigned(s.source_w)) continue;
        float v[kWidth];
        load(v, line + int64_t(origin + r) * s.c);
#pragma unroll
        for (int k = 0; k < kKernel; ++k) {
          const int o = W::output(r, k);
          if (o < 0 || o >= kStrip) continue;
#pragma unroll
          for (int e = 0; e < kWidth; ++e) sum[k][e] = fmaf(v[e], g[o][e], sum[k][e]);
        }
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kKernel; ++k) {
    __syncthreads();
    store(&smem.sum[slot][lane * kWidth], sum[k]);
    __syncthreads();
    if (!works || slot >= s.kh) continue;
    float total[kWidth] = {};
    for (int turn = 0; turn < turns; ++turn)
#pragma unroll
      for (int e = 0; e < kWidth; ++e) total[e] += smem.sum[turn * s.kh + kh][lane * kWidth + e];
    store(partial + ((int64_t(part) * s.kh + kh) * kKernel + k) * s.c + channel, total);
  }
}

struct DepthwiseFilter {
  int64_t c, taps;
};
template <class T>
struct FilterStore {
  T* dweight;
  DepthwiseFilter f;
  __device__ void operator()(int64_t, int64_t i, const Sums<1>& v) const {  // i: (tap, channel)
    dweight[i % f.c * f.taps + i / f.c] = from_float<T>(v.v[0]);
  }
};

inline bool has_window(const Conv2dParams& p) {
  return (p.kw == 3 || p.kw == 5 || p.kw == 7) && p.kh <= 7 && (p.stride == 1 || p.stride == 2) && p.dilation == 1;
}
// f.operator()<kernel, stride>() where has_window.
template <class F>
void with_window(const Conv2dParams& p, F f) {
  const auto with_stride = [&]<int kKernel>() {
    if (p.stride == 1) f.template operator()<kKernel, 1>();
    else f.template operator()<kKernel, 2>();
  };
  if (p.kw == 3) with_stride.template operator()<3>();
  else if (p.kw == 5) with_stride.template operator()<5>();
  else with_stride.template operator()<7>();
}

inline WindowShape forward_window(const Conv2dParams& p) {
  return {int(p.out_h()),     int(p.out_w()), int(p.c_in),    int(p.h), int(p.w), index_32(p.n * p.out_h()),
          Divisor(p.out_h()), int(p.kh),      int(p.padding), 0};
}
inline WindowShape dgrad_window(const Conv2dParams& p) {
  return {int(p.h),     int(p.w),  int(p.c_in),    int(p.out_h()),           int(p.out_w()), index_32(p.n * p.h),
          Divisor(p.h), int(p.kh), int(p.padding), int(p.padding % p.stride)};
}

template <Pass kPass, class T>
void run_window(Context& context, T* result, const T* source, const T* weight, const T* bias, const WindowShape& s,
                const Conv2dParams& p) {
  const int64_t taps = p.kh * p.kw;
  const auto by_tap = device_scratch<float>(context, size_t(taps * p.c_in));
  launch(filters_by_tap_v2<T>, blocks_for(taps * p.c_in, kThreads), kThreads, 0, context, by_tap.get(), weight, p.c_in, taps);
  const int64_t blocks = ceil_div(s.c, kVector<T> * kLanes) * ceil_div(s.w + s.shift, kStrip * kStrips) * ceil_div(s.rows, kRows);
  with_window(p, [&]<int kKernel, int kStride>() {
    launch_blocks(context, blocks, kThreads, depthwise_v2<T, kPass, kKernel, kStride>, result, source, by_tap.get(), bias, s,
                  kPass == Pass::forward ? p.activation : Activation::none);
  });
}

template <class T>
void run_window_wgrad(Context& context, T* dweight, const T* dy, const T* x, const Conv2dParams& p) {
  constexpr int64_t kFill = 2 * 132, kLeast = 32;  // blocks wanted; rows that are worth one
  const WindowShape s = forward_window(p);
  const int64_t lanes = ceil_div(s.c, kVector<T> * kLanes), taps = p.kh * p.kw;
  const int64_t rows = std::max(ceil_div(s.rows, ceil_div(kFill, lanes)), kLeast), parts = ceil_div(s.rows, rows);
  const auto partial = device_scratch<float>(context, size_t(parts * taps * p.c_in));
  with_window(p, [&]<int kKernel, int kStride>() {
    launch_blocks(context, lanes * parts, kThreads, depthwise_wgrad_v2<T, kKernel, kStride>, partial.get(), dy, x, s, int(rows));
  });
  sum_columns(context, 1, parts, taps * p.c_in, PartialTerm<1>{partial.get(), parts, taps * p.c_in},
              FilterStore<T>{dweight, {p.c_in, taps}});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
