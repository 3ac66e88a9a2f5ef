// For *_cpu.cpp files, after hwy/foreach_target.h. (No include guard of its own: it is compiled again for every target.)
#include <algorithm>

#include "kernels/common/simd.h"
#include "kernels/conv2d/strip.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

#if defined(GRAFT_STRIP_CPU_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_STRIP_CPU_H_
#undef GRAFT_STRIP_CPU_H_
#else
#define GRAFT_STRIP_CPU_H_
#endif

// out[i] = y[i] <= 0 ? 0 : in[i]; a plain copy when y is null.
HWY_INLINE void copy_masked(float* out, const float* in, const float* y, int64_t n) {
  if (!y) std::copy_n(in, n, out);
  else
    map_floats(
        out, n, [](VF g, VF v) { return hn::IfThenElse(hn::Le(v, hn::Zero(F32())), hn::Zero(F32()), g); }, in, y);
}

// out[rows, p.cols, p.c]: rows [first, first + rows) of the padded image. `in` and `y` point at the source image.
HWY_INLINE void fill_strip(float* out, const float* in, const float* y, const PaddedImage& p, int64_t first, int64_t rows) {
  const int64_t begin = std::clamp<int64_t>(p.left, 0, p.cols), end = std::clamp<int64_t>(p.left + p.w, begin, p.cols);
  for (int64_t r = 0; r < rows; ++r, out += p.cols * p.c) {
    const int64_t source = first + r - p.top;
    if (source < 0 || source >= p.h) {
      std::fill_n(out, p.cols * p.c, 0.0f);
      continue;
    }
    const int64_t at = (source * p.w + begin - p.left) * p.c;
    std::fill_n(out, begin * p.c, 0.0f);
    copy_masked(out + begin * p.c, in + at, y ? y + at : nullptr, (end - begin) * p.c);
    std::fill_n(out + end * p.c, (p.cols - end) * p.c, 0.0f);
  }
}

// The same without mask as [p.c / block][rows][p.cols][block], the blocks `block_floats` apart; block = p.c is the strip itself.
// The floats after the last channel are left as they were.
HWY_INLINE void fill_strip_blocks(float* out, const float* in, const PaddedImage& p, int64_t first, int64_t rows, int64_t block,
                                  int64_t block_floats) {
  if (block == p.c) return fill_strip(out, in, nullptr, p, first, rows);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t col = 0; col < p.cols; ++col) {
      const int64_t h = first + r - p.top, w = col - p.left;
      const bool inside = h >= 0 && h < p.h && w >= 0 && w < p.w;
      const float* pixel = in + (h * p.w + w) * p.c;
      for (int64_t c = 0; c < p.c; c += block) {
        float* to = out + c / block * block_floats + (r * p.cols + col) * block;
        const int64_t n = std::min(block, p.c - c);
        if (inside) std::copy_n(pixel + c, n, to);
        else std::fill_n(to, n, 0.0f);
      }
    }
}

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
