// 2-D convolution (cross-correlation, as every framework means it), images NHWC:
//   y[n, oh, ow, co] = f(bias[co] + sum over kh, kw, ci of
//     x[n, oh stride - padding + kh dilation, ow stride - padding + kw dilation, g c_in/groups + ci] weight[co, kh, kw, ci])
// with g = co / (c_out / groups), zero outside the image, f none or relu; a residual like y may be added before f.
// depthwise_conv2d is the case groups = c_in = c_out, with kernels of its own.
#pragma once
#include "kernels/common/context.h"
#include "kernels/elementwise/activation.h"

namespace graft {

struct Conv2dParams {
  int64_t n, h, w, c_in;  // x
  int64_t c_out, kh, kw;  // weight[c_out, kh, kw, c_in / groups]
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  Activation activation = Activation::none;  // none or relu

  int64_t out_h() const { return (h + 2 * padding - dilation * (kh - 1) - 1) / stride + 1; }
  int64_t out_w() const { return (w + 2 * padding - dilation * (kw - 1) - 1) / stride + 1; }
};

// y[n, out_h, out_w, c_out], x[n, h, w, c_in], weight[c_out, kh, kw, c_in / groups], bias[c_out] or null, residual like y
// or null. statistics[2, c_out] or null: mean and biased variance over all pixels of y as it is stored, for a batch normalisation
// that follows (kernels/matmul/statistics.cuh says how exact they are on a GPU).
template <class T>
using Conv2dForward = void(Context&, T* y, Accumulate<T>* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                           const Conv2dParams&);
template <class T>
using DepthwiseConv2dForward = void(Context&, T* y, const T* x, const T* weight, const T* bias, const Conv2dParams&);
// dx like x from dy like y. y is read for relu only: dy counts where y > 0 (or y is NaN). others: another gradient of x, which is
// added to dx, or null; it may not be dx.
template <class T>
using Conv2dDgrad = void(Context&, T* dx, const T* dy, const T* weight, const T* y, const T* others, const Conv2dParams&);
template <class T>
using DepthwiseConv2dDgrad = void(Context&, T* dx, const T* dy, const T* weight, const T* y, const Conv2dParams&);
// dweight like weight, dbias[c_out] or null; both overwritten.
template <class T>
using Conv2dWgrad = void(Context&, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams&);

namespace cpu {
Conv2dForward<float> conv2d_forward;
DepthwiseConv2dForward<float> depthwise_conv2d_forward;
Conv2dDgrad<float> conv2d_dgrad;
DepthwiseConv2dDgrad<float> depthwise_conv2d_dgrad;
Conv2dWgrad<float> conv2d_wgrad, depthwise_conv2d_wgrad;
}  // namespace cpu

}  // namespace graft
