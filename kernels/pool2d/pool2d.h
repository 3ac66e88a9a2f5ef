// Pooling over windows of an image. x[N, H, W, C], y[N, OH, OW, C].
//   max_pool2d  y = max of the window; padding counts as -inf; NaN wins over every number
//   avg_pool2d  y = sum of the window / its size, padding included
// Window (oh, ow) covers rows oh stride - padding .. + kh and columns alike, cut off at the image.
#pragma once
#include "kernels/common/both_sides.h"
#include "kernels/common/context.h"

namespace graft {

struct Pool2dParams {
  int64_t n, h, w, c;
  int64_t oh, ow;
  int64_t kh, kw;
  int64_t stride, padding;
};

// Number of windows along one side. Ceil mode keeps a partial last window unless it starts in the right padding.
constexpr int64_t pooled_size(int64_t size, int64_t kernel, int64_t stride, int64_t padding, bool ceil_mode) {
  const int64_t span = size + 2 * padding - kernel;
  if (span < 0 && !(ceil_mode && span > -stride)) return 0;
  const int64_t n = (span + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  return ceil_mode && (n - 1) * stride >= size + padding ? n - 1 : n;
}

// One side of a window: [begin, end) inside the image, its unclipped start, and its length with padding.
struct PoolSpan {
  int64_t start, begin, end, padded;
};
GRAFT_BOTH_SIDES constexpr PoolSpan pool_span(int64_t out, int64_t size, int64_t kernel, const Pool2dParams& p) {
  const int64_t start = out * p.stride - p.padding, end = start + kernel, padded_size = size + p.padding;
  return {start, start < 0 ? 0 : start, end < size ? end : size, (end < padded_size ? end : padded_size) - start};
}

// tap[N, OH, OW, C]: which element of its window is the maximum, counted row-major from the window's unclipped corner;
// the first of equal ones. Null when no backward follows.
template <class T>
using MaxPool2dForward = void(Context&, T* y, int32_t* tap, const T* x, const Pool2dParams&);
template <class T>
using MaxPool2dBackward = void(Context&, T* dx, const T* dy, const int32_t* tap, const Pool2dParams&);
template <class T>
using AvgPool2dForward = void(Context&, T* y, const T* x, const Pool2dParams&);
template <class T>
using AvgPool2dBackward = void(Context&, T* dx, const T* dy, const Pool2dParams&);

namespace cpu {
MaxPool2dForward<float> max_pool2d_forward;
MaxPool2dBackward<float> max_pool2d_backward;
AvgPool2dForward<float> avg_pool2d_forward;
AvgPool2dBackward<float> avg_pool2d_backward;
}  // namespace cpu

}  // namespace graft
