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
  else map_floats(out, n, [](VF g, VF v) { return hn::IfThenElse(hn::Le(v, hn::Zero(F32())), hn::Zero(F32()), g); }, in, y);
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

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
