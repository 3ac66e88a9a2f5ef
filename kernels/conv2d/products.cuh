// The passes of a convolution as products for the main loops of kernels/matmul; a group is a product of its own.
//   forward  m: output pixels    n: output channels           k: (kh, kw, input channel)
//   dgrad    m: input pixels     n: input channels            k: (kh, kw, output channel), for each residue of the stride
//   wgrad    m: output channels  n: (kh, kw, input channel)   k: output pixels
#pragma once
#include <algorithm>

#include "kernels/conv2d/patches.cuh"

namespace graft::GRAFT_GPU {
namespace {

inline int64_t output_pixels(const Conv2dParams& p) { return p.n * p.out_h() * p.out_w(); }

inline PatchShape forward_patches(const Conv2dParams& p) {
  index_32((p.h + 2 * p.padding) * p.w * p.c_in);  // offsets of taps
  return {.h = int(p.h),
          .w = int(p.w),
          .c = int(p.c_in),
          .rows = Divisor(p.out_h()),
          .columns = Divisor(p.out_w()),
          .row = int(-p.padding),
          .column = int(-p.padding),
          .step = int(p.stride),
          .tap_rows = int(p.kh),
          .tap_columns = Divisor(p.kw),
          .channels = Divisor(p.c_in / p.groups),
          .dilation = int(p.dilation)};
}

template <class T>
auto forward_product(T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                     const Conv2dParams& p) {
  const int64_t co = p.c_out / p.groups, k = p.kh * p.kw * (p.c_in / p.groups);
  return Product<Patches<T, Along::k>, Lines<T, Along::k>, T>{.groups = int(p.groups),
                                                              .m = index_32(output_pixels(p)),
                                                              .n = index_32(co),
                                                              .k = index_32(k),
                                                              .a = {x, forward_patches(p)},
                                                              .b = {weight, co * k, k},
                                                              .c = y,
                                                              .row = {co, p.c_out},
                                                              .bias = bias,
                                                              .residual = residual,
                                                              .activation = p.activation,
                                                              .vectors = aligned_16(y, residual) && co % kVector<T> == 0,
                                                              .statistics = statistics};
}

// f(product) for the stride^2 products that share out the pixels of dx; with stride 1 it is one. Those that no tap meets are left
// out (unmet.cuh).
template <class T, class F>
void for_each_dgrad_product(T* dx, const T* dy, const T* weight, const T* others, const Conv2dParams& p, F f) {
  const int64_t ci = p.c_in / p.groups, co = p.c_out / p.groups;
  index_32((p.out_h() + p.dilation * p.kh) * p.out_w() * p.c_out);
  for (int64_t r = 0; r < std::min(p.stride, p.h); ++r)
    for (int64_t c = 0; c < std::min(p.stride, p.w); ++c) {
      const Residue rows(r, p.h, p.kh, p), columns(c, p.w, p.kw, p);
      if (rows.taps * columns.taps == 0) continue;
      const PatchShape patches{.h = int(p.out_h()),
                               .w = int(p.out_w()),
                               .c = int(p.c_out),
                               .rows = Divisor(rows.count),
                               .columns = Divisor(columns.count),
                               .row = rows.origin,
                               .column = columns.origin,
                               .step = 1,
                               .tap_rows = rows.taps,
                               .tap_columns = Divisor(columns.taps),
                               .channels = Divisor(co),
                               .dilation = -rows.dilation};
      const T* first_tap = weight + (rows.tap * p.kw + columns.tap) * ci;
      f(Product<Patches<T, Along::k>, Filters<T>, T, PixelRows>{
          .groups = int(p.groups),
          .m = index_32(p.n * rows.count * columns.count),
          .n = index_32(ci),
          .k = index_32(int64_t{rows.taps} * columns.taps * co),
          .a = {dy, patches},
          .b = {first_tap, index_32(co * p.kh * p.kw * ci), int(p.kh * p.kw * ci), int(rows.step * p.kw * ci),
                int(columns.step * ci), int(p.c_out), rows.taps, Divisor(columns.taps), Divisor(co)},
          .c = dx,
          .row = {int(p.h), int(p.w), int(p.c_in), Divisor(rows.count), Divisor(columns.count), rows.first, columns.first,
                  int(p.stride), int(ci)},
          .residual = others,
          .vectors = aligned_16(dx, others) && ci % kVector<T> == 0});
    }
}

template <class T>
auto wgrad_product(T* dweight, const T* dy, const T* x, const Conv2dParams& p) {
  const int64_t co = p.c_out / p.groups, n = p.kh * p.kw * (p.c_in / p.groups);
  return Product<Lines<T, Along::outer>, Patches<T, Along::outer>, T>{.groups = int(p.groups),
                                                                      .m = index_32(co),
                                                                      .n = index_32(n),
                                                                      .k = index_32(output_pixels(p)),
                                                                      .a = {dy, co, p.c_out},
                                                                      .b = {x, forward_patches(p)},
                                                                      .c = dweight,
                                                                      .row = {co * n, n},
                                                                      .vectors = is_aligned_16(dweight) && n % kVector<T> == 0};
}

// 1 x 1 with stride 1: patches are pixels, all passes are products of matrices as they lie in memory.
inline bool is_matrix(const Conv2dParams& p) { return p.kh == 1 && p.kw == 1 && p.stride == 1 && p.padding == 0 && p.groups == 1; }
template <class T>
MatrixProduct<T> matrix_forward(T* y, float* statistics, const T* x, const T* weight, const T* bias, const T* residual,
                                const Conv2dParams& p) {
  return {.c = y,
          .a = x,
          .b = weight,
          .shape = {1, output_pixels(p), p.c_out, p.c_in, false, true},
          .bias = bias,
          .residual = residual,
          .activation = p.activation,
          .statistics = statistics};
}
template <class T>
MatrixProduct<T> matrix_dgrad(T* dx, const T* dy, const T* weight, const T* others, const Conv2dParams& p) {
  return {.c = dx, .a = dy, .b = weight, .shape = {1, output_pixels(p), p.c_in, p.c_out}, .residual = others};
}
template <class T>
MatrixProduct<T> matrix_wgrad(T* dweight, const T* dy, const T* x, const Conv2dParams& p) {
  return {.c = dweight, .a = dy, .b = x, .shape = {1, p.c_out, p.c_in, output_pixels(p), true, false}, .split = SplitK::by_shape};
}

}  // namespace
}  // namespace graft::GRAFT_GPU
