// What the kernels of version 9 share: tiles of an image with what lies around them, and where a tap finds its pixels.
//
// A tile of R x C pixels of the result is computed from (R + reach) x (C + reach) pixels of the image, its halo, which TMA brings
// into shared memory once, line after line, zeros outside: 128 bytes a pixel, 64 channels. Result pixel (i, j) counts as position
// i pitch + j, where pitch = C + reach: then tap (a, b) finds the pixels of ALL positions a whole number of lines further,
// (a pitch + b) dilation, and the operand of that tap is the same shared memory, described from there on. The positions with
// j >= C, 1 in 29 of an image 56 wide, are computed from whatever lies there and left out.
#pragma once
#include <algorithm>

#include "kernels/common/divide.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/wgmma_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kUnit = kPerLine<BFloat16>;  // channels of a line of 128 bytes
constexpr int kHaloLines = 360;  // of shared memory for a tile with its halo: 6 x 58, the positions behind it that are read

// A convolution with stride 1: forward, or dgrad as one of dy whose taps run backwards.
struct Image {
  int n, h, w, c;          // of what is read
  int result_h, result_w;  // of what is made of it (wgrad: read as well)
  int row, column;         // the pixel that tap (0, 0) of result pixel (0, 0) meets
  int taps_h, taps_w, dilation;

  __host__ __device__ int reach_h() const { return (taps_h - 1) * dilation; }
  __host__ __device__ int reach_w() const { return (taps_w - 1) * dilation; }
};
inline Image image_of(const Conv2dParams& p, Pass pass) {
  Image s{.n = int(p.n),
          .h = int(p.h),
          .w = int(p.w),
          .c = int(p.c_in),
          .result_h = int(p.out_h()),
          .result_w = int(p.out_w()),
          .row = int(-p.padding),
          .column = int(-p.padding),
          .taps_h = int(p.kh),
          .taps_w = int(p.kw),
          .dilation = int(p.dilation)};
  if (pass != Pass::dgrad) return s;
  std::swap(s.h, s.result_h), std::swap(s.w, s.result_w);
  s.c = int(p.c_out), s.row = int(p.padding) - s.reach_h(), s.column = int(p.padding) - s.reach_w();
  return s;
}

// Of R x C pixels; `positions` are computed, a number that wgmma knows (forward) or a multiple of its k (wgrad).
struct HaloTile {
  int rows = 0, columns, pitch, positions;
  int down, across;  // tiles of an image
  Divisor of_pitch, of_down, of_across;

  HaloTile() : of_pitch(1), of_down(1), of_across(1) {}
  HaloTile(const Image& s, int r, int c, int positions_)
      : rows(r),
        columns(c),
        pitch(c + s.reach_w()),
        positions(positions_),
        down(int(ceil_div(s.result_h, r))),
        across(int(ceil_div(s.result_w, c))),
        of_pitch(pitch),
        of_down(down),
        of_across(across) {}

  int64_t tiles(const Image& s) const { return int64_t{s.n} * down * across; }
  __host__ __device__ int halo_rows(const Image& s) const { return rows + s.reach_h(); }
  // Lines of shared memory that its operands reach; a box has 256 pixels a side.
  bool fits(const Image& s) const {
    return std::max(halo_rows(s) * pitch, positions + s.reach_h() * pitch + s.reach_w()) <= kHaloLines && pitch <= 256 &&
           halo_rows(s) <= 256;
  }
};
struct HaloPlace {
  int tile, n, h, w;  // of the result
};
__device__ inline HaloPlace place_of(const HaloTile& t, int tile) {
  const int line = t.of_across.quotient(tile), n = t.of_down.quotient(line);
  return {tile, n, (line - n * t.down) * t.rows, (tile - line * t.across) * t.columns};
}

// Boxes of 64 channels by a tile of pixels, of x[n, h, w, c].
inline TensorMap pixels_map(const BFloat16* x, int n, int h, int w, int c, int rows, int columns) {
  return tensor_map(TiledTensor{.data = x,
                                .dtype = DType::bf16,
                                .rank = 4,
                                .size = {c, w, h, n},
                                .stride = {int64_t{2} * c, int64_t{2} * c * w, int64_t{2} * c * w * h},
                                .box = {kUnit, columns, rows, 1},
                                .swizzle = Swizzle::b128});
}
inline TensorMap halo_map(const BFloat16* x, const Image& s, const HaloTile& t) {
  return pixels_map(x, s.n, s.h, s.w, s.c, t.halo_rows(s), t.pitch);
}
inline int halo_bytes(const Image& s, const HaloTile& t) { return t.halo_rows(s) * t.pitch * kLine; }

// A step in shared memory in the units of a descriptor.
__device__ inline unsigned lines(int n) { return unsigned(n) * (kLine / 16); }

}  // namespace
}  // namespace graft::GRAFT_GPU
