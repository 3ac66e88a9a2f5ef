// A layer with stride 2 and few channels, the first of a network, as one with stride 1: squares of 2 x 2 pixels, four channels
// each, become pixels of 16 ("space to depth"), and so do the taps. A row of the kernel is then one piece of the image, a tap of up
// to 64 channels; pixel after pixel of the result it begins 16 elements further: an image whose pixels overlap, which TMA reads as
// well.
#pragma once
#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/conv2d/products.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kSquare = 16, kSquareChannels = 4;  // elements of a square, and of each of its pixels
constexpr int kTapElements = 64;                  // room for a row of taps: kPerLine<BFloat16>

struct SpaceToDepth {
  Conv2dParams p;
  int tap_rows, tap_columns;  // of squares
  int rows, columns;          // of squares of an image; pixel (h, w) is in square (h + padding) / 2, (w + padding) / 2

  explicit SpaceToDepth(const Conv2dParams& params)
      : p(params),
        tap_rows(int(ceil_div(p.kh, 2))),
        tap_columns(int(ceil_div(p.kw, 2))),
        rows(int(p.out_h()) + tap_rows - 1),
        columns(int(p.out_w()) + tap_columns - 1) {}

  static bool supports(const Conv2dParams& p) {
    return p.stride == 2 && p.groups == 1 && p.dilation == 1 && p.c_in <= kSquareChannels && p.kh * p.kw > 1 &&
           ceil_div(p.kw, 2) * kSquare <= kTapElements;
  }
  // The layer on the image of overlapping pixels, of so many channels.
  Conv2dParams folded(int64_t channels) const {
    return {p.n, rows, p.out_w(), channels, p.c_out, tap_rows, 1, 1, 0, 1, 1, p.activation};
  }
  __host__ __device__ int64_t squares() const { return p.n * rows * columns; }
  __host__ __device__ int64_t filter_elements() const { return p.c_out * tap_rows * kTapElements; }
};

// Half a square, a row of two pixels, a thread. What lies outside of the image is zero.
__global__ void __launch_bounds__(kThreads) fold_pixels_v10(BFloat16* to, const BFloat16* x, SpaceToDepth s) {
  const Conv2dParams& p = s.p;
  for (int64_t i = global_thread(); i < 2 * s.squares(); i += global_threads()) {
    const int half = int(i % 2), square = int(i / 2), line = square / s.columns, n = line / s.rows;
    const int h = line % s.rows * 2 + half - int(p.padding), w = square % s.columns * 2 - int(p.padding);
    float v[8] = {};
#pragma unroll
    for (int pixel = 0; pixel < 2; ++pixel)
      if (h >= 0 && h < p.h && w + pixel >= 0 && w + pixel < p.w)
#pragma unroll
        for (int c = 0; c < kSquareChannels; ++c)
          if (c < p.c_in) v[pixel * kSquareChannels + c] = to_float(x[((n * p.h + h) * p.w + w + pixel) * p.c_in + c]);
    store<8>(to + 8 * i, v);
  }
}

// f(element of weight, or -1 where there is no such tap or channel, element of the folded filters) for all of the latter.
template <class F>
__device__ void each_filter_element(const SpaceToDepth& s, F f) {
  const Conv2dParams& p = s.p;
  for (int64_t i = global_thread(); i < s.filter_elements(); i += global_threads()) {
    const int e = int(i % kTapElements), line = int(i / kTapElements), c = e % kSquareChannels;
    const int kh = line % s.tap_rows * 2 + e / 8 % 2, kw = e / kSquare * 2 + e / 4 % 2;
    const bool there = kh < p.kh && kw < p.kw && c < p.c_in;
    f(there ? ((line / s.tap_rows * p.kh + kh) * p.kw + kw) * p.c_in + c : -1, i);
  }
}
__global__ void __launch_bounds__(kThreads) fold_filters_v10(BFloat16* to, const BFloat16* weight, SpaceToDepth s) {
  each_filter_element(s, [&](int64_t from, int64_t i) { to[i] = from < 0 ? from_float<BFloat16>(0) : weight[from]; });
}
__global__ void __launch_bounds__(kThreads) unfold_filters_v10(BFloat16* weight, const BFloat16* from, SpaceToDepth s) {
  each_filter_element(s, [&](int64_t to, int64_t i) {
    if (to >= 0) weight[to] = from[i];
  });
}

}  // namespace
}  // namespace graft::GRAFT_GPU
