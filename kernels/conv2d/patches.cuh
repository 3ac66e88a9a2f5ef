// The operands of convolutions for the main loops of kernels/matmul (operand.cuh). A patch is what a filter covers of an
// image; patches as rows of a matrix would repeat every value kh kw times, so only their addresses are worked out.
#pragma once
#include "kernels/common/divide.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/operand.cuh"

namespace graft::GRAFT_GPU {
namespace {

// Pixel (n, i, j) of the result meets tap (a, b) at row + i step + a dilation, column + j step + b dilation of the image: of x
// in forward and wgrad; of dy in dgrad, where step is 1 and dilation negative.
struct PatchShape {
  int h, w, c;            // of the image
  Divisor rows, columns;  // of the result
  int row, column, step;
  int tap_rows;
  Divisor tap_columns, channels;  // of a group
  int dilation;
  int pixel = 0, line = 0;  // elements from one to the next where pixels overlap (space_to_depth.cuh, by TMA only); else c, w c
};

// Element (pixel, tap), where a tap is (row, column, channel), the channel innermost in memory. kTaps: which index they are.
template <class T, Along kTaps>
struct Patches {
  using Element = T;
  static constexpr Along kAlong = kTaps;
  const T* x;
  PatchShape s;

  struct Pixel {
    const T* corner;  // where tap (0, 0) falls, maybe outside of the image
    int row, column;
  };
  struct Tap {
    int row, column, offset;
  };

  __device__ Pixel pixel(int i, int channel) const {
    const int line = s.columns.quotient(i), n = s.rows.quotient(line);
    const int row = s.row + s.rows.remainder(line) * s.step, column = s.column + s.columns.remainder(i) * s.step;
    return {whole(x + ((int64_t(n) * s.h + row) * s.w + column) * s.c + channel), row, column};
  }
  __device__ Tap tap(int i, int channel) const {
    const int t = s.channels.quotient(i);
    const int row = s.tap_columns.quotient(t) * s.dilation, column = s.tap_columns.remainder(t) * s.dilation;
    return {row, column, (row * s.w + column) * s.c + s.channels.remainder(i) + channel};
  }
  __device__ auto outer(int g, int i) const {
    if constexpr (kTaps == Along::k) return pixel(i, g * s.channels.divisor());
    else return tap(i, g * s.channels.divisor());
  }
  __device__ auto k(int i) const {
    if constexpr (kTaps == Along::k) return tap(i, 0);
    else return pixel(i, 0);
  }
  __device__ const T* at(const Pixel& p, const Tap& t) const { return p.corner + t.offset; }
  __device__ const T* at(const Tap& t, const Pixel& p) const { return at(p, t); }
  __device__ bool inside(const Pixel& p, const Tap& t) const {
    return unsigned(p.row + t.row) < unsigned(s.h) && unsigned(p.column + t.column) < unsigned(s.w);
  }
  __device__ bool inside(const Tap& t, const Pixel& p) const { return inside(p, t); }
};

// Those taps of a dimension that one residue class of input pixels meets when the stride leaves out the others:
// dgrad: pixel h = first + stride i takes part in output row (h + padding - a dilation) / stride for taps a = tap + step b.
struct Residue {
  int first, count;      // pixels
  int tap, step, taps;   // taps
  int origin, dilation;  // the output row is origin + i - b dilation

  Residue(int64_t remainder, int64_t size, int64_t kernel, const Conv2dParams& p)
      : first(int(remainder)), count(int(ceil_div(size - remainder, p.stride))), tap(0), step(1), taps(0), origin(0) {
    while (step * p.dilation % p.stride) ++step;
    dilation = int(step * p.dilation / p.stride);
    while (tap < kernel && (remainder + p.padding - tap * p.dilation) % p.stride) ++tap;
    if (tap == kernel) return;  // no output reads these pixels
    taps = int(ceil_div(kernel - tap, step));
    origin = int((remainder + p.padding - tap * p.dilation) / p.stride);
  }
};

// weight[c_out, kh, kw, channels of a group] for dgrad: outer is the input channel, k counts (tap, output channel).
template <class T>
struct Filters {
  using Element = T;
  static constexpr Along kAlong = Along::outer;
  const T* x;
  int group, filter, row, column;  // elements from one to the next
  int filters, tap_rows;           // of all groups
  Divisor tap_columns, channels;

  __device__ const T* outer(int g, int i) const { return x + g * group + i; }
  __device__ int k(int i) const {
    const int t = channels.quotient(i);
    return channels.remainder(i) * filter + tap_columns.quotient(t) * row + tap_columns.remainder(t) * column;
  }
  __device__ const T* at(const T* outer, int k) const { return outer + k; }
  static __device__ bool inside(const T*, int) { return true; }
};

// The rows of dx that belong to one residue class in each dimension.
struct PixelRows {
  int h, w, c;            // of dx
  Divisor rows, columns;  // of the class
  int row, column, step, group;
  __device__ int64_t operator()(int g, int i) const {
    const int line = columns.quotient(i), n = rows.quotient(line);
    return ((int64_t{n} * h + row + rows.remainder(line) * step) * w + column + columns.remainder(i) * step) * c + g * group;
  }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
