// Depthwise convolution (groups = c_in = c_out), NHWC: every channel has a filter of its own, so nothing is a product of
// matrices and memory is the limit.
//
// | version | what it teaches |
// |---|---|
// | v1 forward, dgrad | one thread a value; channels are innermost, so a warp reads whole lines of every tap |
// | v1 wgrad          | for each tap a sum over columns (kernels/reduce/sums.cuh) |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct DepthwiseShape {
  int64_t n, h, w, c, oh, ow, kh, kw, stride, padding, dilation;
  bool relu;

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
        relu(p.activation == Activation::relu) {}
};

__device__ inline float masked_gradient(const DepthwiseShape& s, const float* dy, const float* y, int64_t i) {
  return s.relu && y[i] <= 0.0f ? 0.0f : dy[i];
}

__global__ void __launch_bounds__(kThreads)
    depthwise_v1(float* y, const float* x, const float* weight, const float* bias, DepthwiseShape s) {
  const int64_t i = global_thread();
  if (i >= s.n * s.oh * s.ow * s.c) return;
  const int64_t c = i % s.c, ow = i / s.c % s.ow, oh = i / s.c / s.ow % s.oh, n = i / s.c / s.ow / s.oh;
  float sum = 0;
  for (int64_t kh = 0; kh < s.kh; ++kh)
    for (int64_t kw = 0; kw < s.kw; ++kw) {
      const int64_t h = oh * s.stride - s.padding + kh * s.dilation, w = ow * s.stride - s.padding + kw * s.dilation;
      if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
      sum = fmaf(x[((n * s.h + h) * s.w + w) * s.c + c], weight[(c * s.kh + kh) * s.kw + kw], sum);
    }
  if (bias) sum += bias[c];
  y[i] = s.relu && sum < 0.0f ? 0.0f : sum;
}

__global__ void __launch_bounds__(kThreads)
    depthwise_dgrad_v1(float* dx, const float* dy, const float* weight, const float* y, DepthwiseShape s) {
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
      const float g = masked_gradient(s, dy, y, ((n * s.oh + oh) * s.ow + ow) * s.c + c);
      sum = fmaf(g, weight[(c * s.kh + kh) * s.kw + kw], sum);
    }
  dx[i] = sum;
}

// Term (tap, output pixel, channel).
struct DepthwiseWgradTerm {
  static constexpr int kSums = 1;
  const float *dy, *x, *y;
  DepthwiseShape s;
  __device__ Sums<1> operator()(int64_t tap, int64_t pixel, int64_t c) const {
    const int64_t ow = pixel % s.ow, oh = pixel / s.ow % s.oh, n = pixel / s.ow / s.oh;
    const int64_t h = oh * s.stride - s.padding + tap / s.kw * s.dilation, w = ow * s.stride - s.padding + tap % s.kw * s.dilation;
    if (h < 0 || h >= s.h || w < 0 || w >= s.w) return {{0.0f}};
    return {{masked_gradient(s, dy, y, pixel * s.c + c) * x[((n * s.h + h) * s.w + w) * s.c + c]}};
  }
};
struct DepthwiseWgradStore {
  float* dweight;
  int64_t taps;
  __device__ void operator()(int64_t tap, int64_t c, const Sums<1>& v) const { dweight[c * taps + tap] = v.v[0]; }
};

struct DepthwiseBiasTerm {
  static constexpr int kSums = 1;
  const float *dy, *y;
  DepthwiseShape s;
  __device__ Sums<1> operator()(int64_t, int64_t pixel, int64_t c) const { return {{masked_gradient(s, dy, y, pixel * s.c + c)}}; }
};
struct DepthwiseBiasStore {
  float* dbias;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& v) const { dbias[c] = v.v[0]; }
};

}  // namespace

void depthwise_conv2d_forward(Context& context, float* y, const float* x, const float* weight, const float* bias,
                              const Conv2dParams& p) {
  const DepthwiseShape s(p);
  launch_threads(context, s.n * s.oh * s.ow * s.c, depthwise_v1, y, x, weight, bias, s);
}

void depthwise_conv2d_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y,
                            const Conv2dParams& p) {
  const DepthwiseShape s(p);
  launch_threads(context, s.n * s.h * s.w * s.c, depthwise_dgrad_v1, dx, dy, weight, y, s);
}

void depthwise_conv2d_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                            const Conv2dParams& p) {
  const DepthwiseShape s(p);
  const int64_t pixels = s.n * s.oh * s.ow;
  sum_columns(context, s.kh * s.kw, pixels, s.c, DepthwiseWgradTerm{dy, x, y, s}, DepthwiseWgradStore{dweight, s.kh * s.kw});
  if (dbias) sum_columns(context, 1, pixels, s.c, DepthwiseBiasTerm{dy, y, s}, DepthwiseBiasStore{dbias});
}

GRAFT_KERNEL(depthwise_conv2d, forward, GRAFT_GPU, float, Conv2dForward);
GRAFT_KERNEL(depthwise_conv2d, dgrad, GRAFT_GPU, float, Conv2dDgrad);
GRAFT_KERNEL(depthwise_conv2d, wgrad, GRAFT_GPU, float, Conv2dWgrad);

}  // namespace graft::GRAFT_GPU
