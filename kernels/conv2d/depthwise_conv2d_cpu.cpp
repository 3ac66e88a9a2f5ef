// One filter per channel: no reuse beyond the taps, so the loops keep whole pixels of channels in vectors and read every
// image row while it is in cache. Forward and dgrad are the same gather through lists of taps.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/depthwise_conv2d_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/depthwise.h"
#include "kernels/matmul/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

inline constexpr int64_t kStep = int64_t(kLanes);

// A vector of channels, or the `left` last ones.
HWY_INLINE VF load_channels(const float* p, int64_t left) { return left >= kStep ? Whole{}.load(p) : Part{size_t(left)}.load(p); }
HWY_INLINE void store_channels(VF v, float* p, int64_t left) {
  if (left >= kStep) Whole{}.store(v, p);
  else Part{size_t(left)}.store(v, p);
}

// kVecs vectors of channels from c on, of one output pixel.
template <int kVecs>
HWY_INLINE void gather_pixel(const DepthwiseGather& g, float* out, const float* in, std::span<const AxisTap> rows,
                             std::span<const AxisTap> cols, int64_t c) {
  const F32 d;
  const auto left = [&](int v) { return kVecs > 1 ? kStep : g.c - c - v * kStep; };  // only a single vector may be partial
  VF acc[kVecs];
#pragma GCC unroll 16
  for (int v = 0; v < kVecs; ++v) acc[v] = hn::Zero(d);
  for (const AxisTap& r : rows)
    for (const AxisTap& q : cols) {
      const float* x = in + (r.source * g.source_w + q.source) * g.c + c;
      const float* w = g.weight + (r.k * g.kw + q.k) * g.c + c;
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v)
        acc[v] = hn::MulAdd(load_channels(x + v * kStep, left(v)), load_channels(w + v * kStep, left(v)), acc[v]);
    }
#pragma GCC unroll 16
  for (int v = 0; v < kVecs; ++v) {
    if (g.bias) acc[v] = hn::Add(acc[v], load_channels(g.bias + c + v * kStep, left(v)));
    if (g.relu) acc[v] = hn::IfThenElse(hn::Lt(acc[v], hn::Zero(d)), hn::Zero(d), acc[v]);  // keeps NaN
    store_channels(acc[v], out + c + v * kStep, left(v));
  }
}

// One output row of one image.
void DepthwiseRow(const DepthwiseGather& g, float* out, const float* in, int64_t row) {
  const auto rows = g.rows.at(row);
  for (int64_t j = 0; j < g.out_w; ++j, out += g.c) {
    const auto cols = g.cols.at(j);
    int64_t c = 0;
    for (; c + 4 * kStep <= g.c; c += 4 * kStep) gather_pixel<4>(g, out, in, rows, cols, c);
    for (; c < g.c; c += kStep) gather_pixel<1>(g, out, in, rows, cols, c);
  }
}

// sum[channels] += dy x over pixels [begin, end) of a row.
template <int kVecs>
HWY_INLINE void add_products(float* sum, const float* dy, const float* x, int64_t begin, int64_t end, int64_t step, int64_t x_step,
                             int64_t channels) {
  const auto left = [&](int v) { return kVecs > 1 ? kStep : channels - v * kStep; };
  VF acc[kVecs];
#pragma GCC unroll 16
  for (int v = 0; v < kVecs; ++v) acc[v] = load_channels(sum + v * kStep, left(v));
  for (int64_t j = begin; j < end; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v)
      acc[v] =
          hn::MulAdd(load_channels(dy + j * step + v * kStep, left(v)), load_channels(x + j * x_step + v * kStep, left(v)), acc[v]);
#pragma GCC unroll 16
  for (int v = 0; v < kVecs; ++v) store_channels(acc[v], sum + v * kStep, left(v));
}

// Adds output row oh of an image to sums[kh * kw][c] and bias_sums[c].
void DepthwiseWgradRow(const Conv2dParams& p, float* sums, float* bias_sums, const float* dy, const float* x, int64_t oh) {
  const int64_t c = p.c_in, ow = p.out_w();
  dy += oh * ow * c;
  for (int64_t j = 0; j < ow; ++j)
    map_floats(
        bias_sums, c, [](VF a, VF b) { return hn::Add(a, b); }, bias_sums, dy + j * c);
  for (int64_t kh = 0; kh < p.kh; ++kh) {
    const int64_t h = oh * p.stride - p.padding + kh * p.dilation;
    if (h < 0 || h >= p.h) continue;
    for (int64_t kw = 0; kw < p.kw; ++kw) {
      const int64_t shift = kw * p.dilation - p.padding;  // w = ow stride + shift must lie in [0, p.w)
      const int64_t begin = shift < 0 ? (-shift + p.stride - 1) / p.stride : 0;
      const int64_t end = std::min(ow, (p.w - shift + p.stride - 1) / p.stride);
      float* sum = sums + (kh * p.kw + kw) * c;
      const float* from = x + (h * p.w + shift) * c;
      int64_t i = 0;
      for (; i + 4 * kStep <= c; i += 4 * kStep) add_products<4>(sum + i, dy + i, from + i, begin, end, c, p.stride * c, c - i);
      for (; i < c; i += kStep) add_products<1>(sum + i, dy + i, from + i, begin, end, c, p.stride * c, c - i);
    }
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(DepthwiseRow);
HWY_EXPORT(DepthwiseWgradRow);

namespace {

constexpr int64_t kParts = 16;  // of wgrad's sum

// out[taps][c] = weight[c][taps]
void pack(float* out, const float* weight, int64_t c, int64_t taps) {
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t i = 0; i < c; ++i) out[t * c + i] = weight[i * taps + t];
}

void gather(Context& context, const DepthwiseGather& g, float* out, const float* in, int64_t n) {
  context.pool().parallel_for(n * g.out_h, [&](int64_t t, int) {
    HWY_DYNAMIC_DISPATCH(DepthwiseRow)(g, out + t * g.out_w * g.c, in + t / g.out_h * g.source_h * g.source_w * g.c, t % g.out_h);
  });
}

}  // namespace

void depthwise_conv2d_forward(Context& context, float* y, const float* x, const float* weight, const float* bias,
                              const Conv2dParams& p) {
  const auto packed = context.scratch<float>(size_t(p.kh * p.kw * p.c_in));
  pack(packed.get(), weight, p.c_in, p.kh * p.kw);
  const auto axis = [&](int64_t out, int64_t size, int64_t kernel) {
    return AxisTaps(out, kernel, [&](int64_t o, int64_t k) {
      const int64_t i = o * p.stride - p.padding + k * p.dilation;
      return i < size ? i : -1;
    });
  };
  gather(context,
         {p.c_in, p.out_h(), p.out_w(), p.h, p.w, p.kw, axis(p.out_h(), p.h, p.kh), axis(p.out_w(), p.w, p.kw), packed.get(), bias,
          p.activation == Activation::relu},
         y, x, p.n);
}

void depthwise_conv2d_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y,
                            const Conv2dParams& p) {
  const auto packed = context.scratch<float>(size_t(p.kh * p.kw * p.c_in));
  pack(packed.get(), weight, p.c_in, p.kh * p.kw);
  const bool relu = p.activation == Activation::relu;
  const int64_t size = p.n * p.out_h() * p.out_w() * p.c_out;
  const auto masked = context.scratch<float>(size_t(relu ? size : 0));
  if (relu) relu_gradient(context, masked.get(), dy, y, size);
  const auto axis = [&](int64_t in, int64_t out, int64_t kernel) {
    return AxisTaps(in, kernel, [&](int64_t i, int64_t k) {
      const int64_t o = i + p.padding - k * p.dilation;
      return o >= 0 && o % p.stride == 0 && o / p.stride < out ? o / p.stride : -1;
    });
  };
  gather(context,
         {p.c_in, p.h, p.w, p.out_h(), p.out_w(), p.kw, axis(p.h, p.out_h(), p.kh), axis(p.w, p.out_w(), p.kw), packed.get(),
          nullptr, false},
         dx, relu ? masked.get() : dy, p.n);
}

void depthwise_conv2d_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                            const Conv2dParams& p) {
  const bool relu = p.activation == Activation::relu;
  const int64_t oh = p.out_h(), image = oh * p.out_w() * p.c_out, c = p.c_in, taps = p.kh * p.kw, size = (taps + 1) * c;
  const auto masked = context.scratch<float>(size_t(relu ? p.n * image : 0));
  if (relu) relu_gradient(context, masked.get(), dy, y, p.n * image);
  const float* g = relu ? masked.get() : dy;
  const int64_t units = p.n * oh, parts = std::clamp<int64_t>(units, 1, kParts);
  const auto sums = context.scratch<float>(size_t(parts * size));  // of a part: [taps][c], then the bias
  context.pool().parallel_for(parts, [&](int64_t part, int) {
    float* sum = sums.get() + part * size;
    std::fill_n(sum, size, 0.0f);
    for (int64_t u = units * part / parts; u < units * (part + 1) / parts; ++u)
      HWY_DYNAMIC_DISPATCH(DepthwiseWgradRow)(p, sum, sum + taps * c, g + u / oh * image, x + u / oh * p.h * p.w * c, u % oh);
  });
  const auto total = [&](int64_t at) {
    float sum = sums[size_t(at)];
    for (int64_t part = 1; part < parts; ++part) sum += sums[size_t(part * size + at)];
    return sum;
  };
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t i = 0; i < c; ++i) dweight[i * taps + t] = total(t * c + i);
  for (int64_t i = 0; dbias && i < c; ++i) dbias[i] = total(taps * c + i);
}

GRAFT_KERNEL(depthwise_conv2d, forward, cpu, float, DepthwiseConv2dForward);
GRAFT_KERNEL(depthwise_conv2d, dgrad, cpu, float, DepthwiseConv2dDgrad);
GRAFT_KERNEL(depthwise_conv2d, wgrad, cpu, float, Conv2dWgrad);

}  // namespace graft::cpu
#endif
