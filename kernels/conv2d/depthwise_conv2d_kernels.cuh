// Depthwise convolution (groups = c_in = c_out), NHWC: every channel has a filter of its own, so nothing is a product of
// matrices and memory is the limit.
//
// | version           | accepts                       | what it teaches                                                          |
// |-------------------|-------------------------------|--------------------------------------------------------------------------|
// | v1 a value each   | all                           | one thread a value; channels are innermost, so a warp reads whole lines  |
// |                   |                               | of every tap. wgrad: for each tap a sum over columns (reduce/sums.cuh)   |
// | v2 sliding window | channels in units of 16 bytes | depthwise_window.cuh: 16 bytes of channels and a strip of neighbouring   |
// |                   | 3, 5 or 7 taps wide, stride 1 | outputs a thread: a value is read once for all the taps it meets in a    |
// |                   | or 2, no dilation             | row. wgrad: parts of the rows, added in order                            |
// relu's gradient and dbias: kernels/matmul/gradient.cuh.
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/depthwise_window.cuh"
#include "kernels/matmul/gradient.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct DepthwiseShape {
  int64_t n, h, w, c, oh, ow, kh, kw, stride, padding, dilation;
  Activation activation;

  explicit DepthwiseShape(const Conv2dParams& p)
      : n(p.n),
        h(p.h),
        w(p.w),
        c(p.c_in),
        oh(p.out_h()),
        ow(p.out_w()),
        kh(p.kh),
        kw(p.kw),
        stride(p.stride),
        padding(p.padding),
        dilation(p.dilation),
        activation(p.activation) {}
};

template <class T>
__global__ void __launch_bounds__(kThreads) depthwise_v1(T* y, const T* x, const T* weight, const T* bias, DepthwiseShape s) {
  const int64_t i = global_thread();
  if (i >= s.n * s.oh * s.ow * s.c) return;
  const int64_t c = i % s.c, ow = i / s.c % s.ow, oh = i / s.c / s.ow % s.oh, n = i / s.c / s.ow / s.oh;
  float sum = 0;
  for (int64_t kh = 0; kh < s.kh; ++kh)
    for (int64_t kw = 0; kw < s.kw; ++kw) {
      const int64_t h = oh * s.stride - s.padding + kh * s.dilation, w = ow * s.stride - s.padding + kw * s.dilation;
      if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
      sum = fmaf(to_float(x[((n * s.h + h) * s.w + w) * s.c + c]), to_float(weight[(c * s.kh + kh) * s.kw + kw]), sum);
    }
  if (bias) sum += to_float(bias[c]);
  y[i] = from_float<T>(s.activation == Activation::relu && sum < 0.0f ? 0.0f : sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads) depthwise_dgrad_v1(T* dx, const T* dy, const T* weight, DepthwiseShape s) {
  const int64_t i = global_thread();
  if (i >= s.n * s.h * s.w * s.c) return;
  const int64_t c = i % s.c, w = i / s.c % s.w, h = i / s.c / s.w % s.h, n = i / s.c / s.w / s.h;
  float sum = 0;
  for (int64_t kh = 0; kh < s.kh; ++kh)
    for (int64_t kw = 0; kw < s.kw; ++kw) {
      const int64_t row = h + s.padding - kh * s.dilation, column = w + s.padding - kw * s.dilation;
      if (row < 0 || column < 0 || row % s.stride || column % s.stride) continue;
      const int64_t oh = row / s.stride, ow = column / s.stride;
      if (oh >= s.oh || ow >= s.ow) continue;
      const float g = to_float(dy[((n * s.oh + oh) * s.ow + ow) * s.c + c]);
      sum = fmaf(g, to_float(weight[(c * s.kh + kh) * s.kw + kw]), sum);
    }
  dx[i] = from_float<T>(sum);
}

// Term (tap, output pixel, channel).
template <class T>
struct DepthwiseWgradTerm {
  static constexpr int kSums = 1;
  const T *dy, *x;
  DepthwiseShape s;
  __device__ Sums<1> operator()(int64_t tap, int64_t pixel, int64_t c) const {
    const int64_t ow = pixel % s.ow, oh = pixel / s.ow % s.oh, n = pixel / s.ow / s.oh;
    const int64_t h = oh * s.stride - s.padding + tap / s.kw * s.dilation, w = ow * s.stride - s.padding + tap % s.kw * s.dilation;
    if (h < 0 || h >= s.h || w < 0 || w >= s.w) return {{0.0f}};
    return {{to_float(dy[pixel * s.c + c]) * to_float(x[((n * s.h + h) * s.w + w) * s.c + c])}};
  }
};
template <class T>
struct DepthwiseWgradStore {
  T* dweight;
  int64_t taps;
  __device__ void operator()(int64_t tap, int64_t c, const Sums<1>& v) const { dweight[c * taps + tap] = from_float<T>(v.v[0]); }
};

int64_t output_values(const Conv2dParams& p) { return p.n * p.out_h() * p.out_w() * p.c_out; }

template <class T>
struct OneEach {
  static bool supports_forward(T*, const T*, const T*, const T*, const Conv2dParams&) { return true; }
  static bool supports_dgrad(T*, const T*, const T*, const T*, const Conv2dParams&) { return true; }
  static bool supports_wgrad(T*, T*, const T*, const T*, const T*, const Conv2dParams&) { return true; }

  static void forward(Context& context, T* y, const T* x, const T* weight, const T* bias, const Conv2dParams& p) {
    launch_threads(context, output_values(p), depthwise_v1<T>, y, x, weight, bias, DepthwiseShape(p));
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_values(p));
    launch_threads(context, p.n * p.h * p.w * p.c_in, depthwise_dgrad_v1<T>, dx, static_cast<const T*>(gradient), weight,
                   DepthwiseShape(p));
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_values(p));
    const int64_t taps = p.kh * p.kw, pixels = output_values(p) / p.c_out;
    sum_columns(context, taps, pixels, p.c_out, DepthwiseWgradTerm<T>{gradient, x, DepthwiseShape(p)},
                DepthwiseWgradStore<T>{dweight, taps});
    bias_gradient<T>(context, dbias, gradient, pixels, p.c_out);
  }
};

template <class T>
struct SlidingWindow {
  static bool fits(const Conv2dParams& p) { return has_window(p) && p.c_in % kVector<T> == 0; }
  static bool supports_forward(T* y, const T* x, const T*, const T*, const Conv2dParams& p) { return fits(p) && aligned_16(y, x); }
  static bool supports_dgrad(T* dx, const T* dy, const T*, const T*, const Conv2dParams& p) {
    return fits(p) && aligned_16(dx, dy);
  }
  static bool supports_wgrad(T*, T*, const T* dy, const T* x, const T*, const Conv2dParams& p) {
    return fits(p) && aligned_16(dy, x);
  }

  static void forward(Context& context, T* y, const T* x, const T* weight, const T* bias, const Conv2dParams& p) {
    run_window<Pass::forward, T>(context, y, x, weight, bias, forward_window(p), p);
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_values(p));
    run_window<Pass::dgrad, T>(context, dx, gradient, weight, nullptr, dgrad_window(p), p);
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, output_values(p));
    run_window_wgrad<T>(context, dweight, gradient, x, p);
    bias_gradient<T>(context, dbias, gradient, output_values(p) / p.c_out, p.c_out);
  }
};

template <class T>
constexpr Rung<DepthwiseConv2dForward<T>> kForward[] = {
    {{1, "a value each"}, OneEach<T>::supports_forward, OneEach<T>::forward},
    {{2, "sliding window"}, SlidingWindow<T>::supports_forward, SlidingWindow<T>::forward},
};
template <class T>
constexpr Rung<DepthwiseConv2dDgrad<T>> kDgrad[] = {
    {{1, "a value each"}, OneEach<T>::supports_dgrad, OneEach<T>::dgrad},
    {{2, "sliding window"}, SlidingWindow<T>::supports_dgrad, SlidingWindow<T>::dgrad},
};
template <class T>
constexpr Rung<Conv2dWgrad<T>> kWgrad[] = {
    {{1, "a value each"}, OneEach<T>::supports_wgrad, OneEach<T>::wgrad},
    {{2, "sliding window"}, SlidingWindow<T>::supports_wgrad, SlidingWindow<T>::wgrad},
};

}  // namespace

template <class T>
void depthwise_conv2d_forward(Context& context, T* y, const T* x, const T* weight, const T* bias, const Conv2dParams& p) {
  run_version(Op::depthwise_conv2d, kForward<T>, context, y, x, weight, bias, p);
}
template <class T>
void depthwise_conv2d_dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const Conv2dParams& p) {
  run_version(Op::depthwise_conv2d, kDgrad<T>, context, dx, dy, weight, y, p);
}
template <class T>
void depthwise_conv2d_wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const Conv2dParams& p) {
  run_version(Op::depthwise_conv2d, kWgrad<T>, context, dweight, dbias, dy, x, y, p);
}

GRAFT_KERNEL(depthwise_conv2d, forward, GRAFT_GPU, float, DepthwiseConv2dForward);
GRAFT_KERNEL(depthwise_conv2d, dgrad, GRAFT_GPU, float, DepthwiseConv2dDgrad);
GRAFT_KERNEL(depthwise_conv2d, wgrad, GRAFT_GPU, float, Conv2dWgrad);
GRAFT_KERNEL(depthwise_conv2d, forward, GRAFT_GPU, BFloat16, DepthwiseConv2dForward);
GRAFT_KERNEL(depthwise_conv2d, dgrad, GRAFT_GPU, BFloat16, DepthwiseConv2dDgrad);
GRAFT_KERNEL(depthwise_conv2d, wgrad, GRAFT_GPU, BFloat16, Conv2dWgrad);
GRAFT_VERSIONS(depthwise_conv2d, forward, GRAFT_GPU, float, kForward<float>);
GRAFT_VERSIONS(depthwise_conv2d, dgrad, GRAFT_GPU, float, kDgrad<float>);
GRAFT_VERSIONS(depthwise_conv2d, wgrad, GRAFT_GPU, float, kWgrad<float>);
GRAFT_VERSIONS(depthwise_conv2d, forward, GRAFT_GPU, BFloat16, kForward<BFloat16>);
GRAFT_VERSIONS(depthwise_conv2d, dgrad, GRAFT_GPU, BFloat16, kDgrad<BFloat16>);
GRAFT_VERSIONS(depthwise_conv2d, wgrad, GRAFT_GPU, BFloat16, kWgrad<BFloat16>);

}  // namespace graft::GRAFT_GPU
