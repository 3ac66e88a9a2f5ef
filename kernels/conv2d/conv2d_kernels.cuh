// 2-D convolution, NHWC, as three implicit products on one tile loop (kernels/matmul/tile.cuh); a group is a product of its own.
//   forward  m: output pixels   n: output channels   k: (kh, kw, input channel)
//   dgrad    m: input pixels    n: input channels    k: (kh, kw, output channel)
//   wgrad    m: output channels n: (kh, kw, input channel)   k: output pixels
//
// | version | what it teaches |
// |---|---|
// | v1 | implicit GEMM: patches are addressed, never stored; every stride, padding, dilation and group; dgrad visits all taps and
// skips those that a stride leaves out | Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/tile.cuh"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct ConvShape {
  int64_t h, w, c_in, oh, ow, c_out, kh, kw, stride, padding, dilation, ci, co;  // ci, co: channels of a group

  explicit ConvShape(const Conv2dParams& p)
      : h(p.h),
        w(p.w),
        c_in(p.c_in),
        oh(p.out_h()),
        ow(p.out_w()),
        c_out(p.c_out),
        kh(p.kh),
        kw(p.kw),
        stride(p.stride),
        padding(p.padding),
        dilation(p.dilation),
        ci(p.c_in / p.groups),
        co(p.c_out / p.groups) {}
};

// A pixel: its image, and the corner of its patch (output pixel) or its padded place (input pixel).
struct ConvPixel {
  int64_t n, row, column;
};
// A value of a patch: how far it lies from the corner, and its channel.
struct ConvTap {
  int64_t row, column, channel;
};

__device__ inline ConvPixel patch_of(const ConvShape& s, int64_t pixel) {
  return {pixel / s.ow / s.oh, pixel / s.ow % s.oh * s.stride - s.padding, pixel % s.ow * s.stride - s.padding};
}
__device__ inline ConvTap tap_of(const ConvShape& s, int64_t k, int64_t channels) {
  const int at = int(k), c = int(channels), kw = int(s.kw);  // fits; 64-bit division spills
  return {at / c / kw * s.dilation, at / c % kw * s.dilation, at % c};
}
__device__ inline float patch_value(const ConvShape& s, const float* x, const ConvPixel& p, const ConvTap& t) {
  const int64_t h = p.row + t.row, w = p.column + t.column;
  if (h < 0 || h >= s.h || w < 0 || w >= s.w) return 0.0f;
  return x[((p.n * s.h + h) * s.w + w) * s.c_in + t.channel];
}

struct ConvForwardProblem {
  static constexpr bool kAAlongK = true, kBAlongK = true;
  int64_t groups, m, n, k;
  ConvShape s;
  float* y;
  const float *x, *weight;
  Epilogue epilogue;
  __device__ ConvPixel a_row(int64_t, int64_t i) const { return patch_of(s, i); }
  __device__ ConvTap a_k(int64_t g, int64_t i) const {
    ConvTap t = tap_of(s, i, s.ci);
    t.channel += g * s.ci;
    return t;
  }
  __device__ float a(const ConvPixel& row, const ConvTap& t) const { return patch_value(s, x, row, t); }
  __device__ int64_t b_column(int64_t g, int64_t j) const { return (g * s.co + j) * k; }
  __device__ int64_t b_k(int64_t, int64_t i) const { return i; }
  __device__ float b(int64_t column, int64_t i) const { return weight[column + i]; }
  __device__ void store(int64_t g, int64_t i, int64_t j, float v) const {
    const int64_t c = g * s.co + j;
    y[i * s.c_out + c] = epilogue(v, c);
  }
};

struct ConvDgradProblem {
  static constexpr bool kAAlongK = true, kBAlongK = false;
  int64_t groups, m, n, k;
  ConvShape s;
  float* dx;
  MaskedGradient dy;
  const float* weight;
  __device__ ConvPixel a_row(int64_t, int64_t i) const { return {i / s.w / s.h, i / s.w % s.h + s.padding, i % s.w + s.padding}; }
  __device__ ConvTap a_k(int64_t g, int64_t i) const {
    ConvTap t = tap_of(s, i, s.co);
    t.channel += g * s.co;
    return t;
  }
  __device__ float a(const ConvPixel& p, const ConvTap& t) const {
    const int64_t h = p.row - t.row, w = p.column - t.column;
    if (h < 0 || w < 0 || h % s.stride || w % s.stride || h / s.stride >= s.oh || w / s.stride >= s.ow) return 0.0f;
    return dy(((p.n * s.oh + h / s.stride) * s.ow + w / s.stride) * s.c_out + t.channel);
  }
  __device__ int64_t b_column(int64_t, int64_t j) const { return j; }
  // weight[g co + channel, kh, kw, column]
  __device__ int64_t b_k(int64_t g, int64_t i) const { return ((g * s.co + i % s.co) * s.kh * s.kw + i / s.co) * s.ci; }
  __device__ float b(int64_t column, int64_t i) const { return weight[i + column]; }
  __device__ void store(int64_t g, int64_t i, int64_t j, float v) const { dx[i * s.c_in + g * s.ci + j] = v; }
};

struct ConvWgradProblem {
  static constexpr bool kAAlongK = false, kBAlongK = false;
  int64_t groups, m, n, k;
  ConvShape s;
  float* dweight;
  MaskedGradient dy;
  const float* x;
  __device__ int64_t a_row(int64_t g, int64_t i) const { return g * s.co + i; }
  __device__ int64_t a_k(int64_t, int64_t i) const { return i * s.c_out; }
  __device__ float a(int64_t row, int64_t i) const { return dy(i + row); }
  __device__ ConvTap b_column(int64_t g, int64_t j) const {
    ConvTap t = tap_of(s, j, s.ci);
    t.channel += g * s.ci;
    return t;
  }
  __device__ ConvPixel b_k(int64_t, int64_t i) const { return patch_of(s, i); }
  __device__ float b(const ConvTap& t, const ConvPixel& p) const { return patch_value(s, x, p, t); }
  __device__ void store(int64_t g, int64_t i, int64_t j, float v) const { dweight[(g * s.co + i) * n + j] = v; }
};

struct ConvBiasTerm {
  static constexpr int kSums = 1;
  MaskedGradient dy;
  int64_t c_out;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const { return {{dy(r * c_out + c)}}; }
};
struct ConvBiasStore {
  float* dbias;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { dbias[c] = s.v[0]; }
};

MaskedGradient masked(const float* dy, const float* y, const Conv2dParams& p) {
  return {dy, p.activation == Activation::relu ? y : nullptr};
}
int64_t conv_pixels(const Conv2dParams& p) { return p.n * p.out_h() * p.out_w(); }

}  // namespace

void conv2d_forward(Context& context, float* y, const float* x, const float* weight, const float* bias, const Conv2dParams& p) {
  const ConvShape s(p);
  tile_product(context,
               ConvForwardProblem{
                   p.groups, conv_pixels(p), s.co, p.kh * p.kw * s.ci, s, y, x, weight, {bias, p.activation == Activation::relu}});
}

void conv2d_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const Conv2dParams& p) {
  const ConvShape s(p);
  tile_product(context, ConvDgradProblem{p.groups, p.n * p.h * p.w, s.ci, p.kh * p.kw * s.co, s, dx, masked(dy, y, p), weight});
}

void conv2d_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                  const Conv2dParams& p) {
  const ConvShape s(p);
  const MaskedGradient gradient = masked(dy, y, p);
  tile_product(context, ConvWgradProblem{p.groups, s.co, p.kh * p.kw * s.ci, conv_pixels(p), s, dweight, gradient, x});
  if (dbias) sum_columns(context, 1, conv_pixels(p), p.c_out, ConvBiasTerm{gradient, p.c_out}, ConvBiasStore{dbias});
}

GRAFT_KERNEL(conv2d, forward, GRAFT_GPU, float, Conv2dForward);
GRAFT_KERNEL(conv2d, dgrad, GRAFT_GPU, float, Conv2dDgrad);
GRAFT_KERNEL(conv2d, wgrad, GRAFT_GPU, float, Conv2dWgrad);

}  // namespace graft::GRAFT_GPU
