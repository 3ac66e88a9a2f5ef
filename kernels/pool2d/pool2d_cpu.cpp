// NHWC: a vector holds neighbouring channels of one pixel, so every window is a few loads at fixed distances.
// Forward works by rows of y. Backward works by rows of dx and gathers from the windows that cover the row: each row
// of dx is written by one task, in the order of the windows, whatever the number of threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool2d/pool2d_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/pool2d/pool2d.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;
using VI = hn::Vec<I32>;

HWY_INLINE void store_taps(VI v, int32_t* p, Whole) { hn::StoreU(v, I32(), p); }
HWY_INLINE void store_taps(VI v, int32_t* p, Part part) { part.store(hn::BitCast(F32(), v), reinterpret_cast<float*>(p)); }
HWY_INLINE VI load_taps(const int32_t* p, Whole) { return hn::LoadU(I32(), p); }
HWY_INLINE VI load_taps(const int32_t* p, Part part) { return hn::BitCast(I32(), part.load(reinterpret_cast<const float*>(p))); }

// The maximum of kh x kw pixels, `row` floats from one image row to the next, and where it was: first, first + 1, ..
// by columns, first + step by rows. A compile-time 2 or 3 unrolls the window; 0 takes the sizes at run time.
template <int kSize, class Lanes>
HWY_INLINE void max_window(const float* x, int64_t row, int64_t c, int64_t kh, int64_t kw, int32_t first, int32_t step, Lanes lanes,
                           float* y, int32_t* tap) {
  const I32 di;
  if constexpr (kSize > 0) kh = kw = kSize;
  VF best = lanes.load(x);
  VI where = hn::Set(di, first);
  for (int64_t i = 0; i < kh; ++i)
    for (int64_t j = 0; j < kw; ++j) {
      if (i == 0 && j == 0) continue;
      const VF v = lanes.load(x + i * row + j * c);
      const auto better = hn::Or(hn::Gt(v, best), hn::IsNaN(v));
      best = hn::IfThenElse(better, v, best);
      where = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, first + int32_t(i) * step + int32_t(j)), where);
    }
  lanes.store(best, y);
  if (tap) store_taps(where, tap, lanes);
}

template <int kSize>
void max_row(float* y, int32_t* tap, const float* x, int64_t row, const Pool2dParams& p) {
  const PoolSpan rows = pool_span(row % p.oh, p.h, p.kh, p);
  const float* image = x + (row / p.oh * p.h + rows.begin) * p.w * p.c;
  for (int64_t ow = 0; ow < p.ow; ++ow) {
    const PoolSpan columns = pool_span(ow, p.w, p.kw, p);
    const int64_t kh = rows.end - rows.begin, kw = columns.end - columns.begin, out = (row * p.ow + ow) * p.c;
    const int32_t first = int32_t((rows.begin - rows.start) * p.kw + columns.begin - columns.start);
    const auto window = [&]<int kFixed>() {
      for_vectors(p.c, [&](int64_t c, auto lanes) {
        max_window<kFixed>(image + columns.begin * p.c + c, p.w * p.c, p.c, kh, kw, first, int32_t(p.kw), lanes, y + out + c,
                           tap ? tap + out + c : nullptr);
      });
    };
    if (kh == kSize && kw == kSize) window.template operator()<kSize>();
    else window.template operator()<0>();
  }
}

void MaxForward(float* y, int32_t* tap, const float* x, int64_t begin, int64_t end, const Pool2dParams& p) {
  for (int64_t row = begin; row < end; ++row) {
    if (p.kh == 2 && p.kw == 2) max_row<2>(y, tap, x, row, p);
    else if (p.kh == 3 && p.kw == 3) max_row<3>(y, tap, x, row, p);
    else max_row<0>(y, tap, x, row, p);
  }
}

void AvgForward(float* y, const float* x, int64_t begin, int64_t end, const Pool2dParams& p) {
  const F32 d;
  for (int64_t row = begin; row < end; ++row) {
    const PoolSpan rows = pool_span(row % p.oh, p.h, p.kh, p);
    const float* image = x + row / p.oh * p.h * p.w * p.c;
    for (int64_t ow = 0; ow < p.ow; ++ow) {
      const PoolSpan columns = pool_span(ow, p.w, p.kw, p);
      const VF scale = hn::Set(d, 1.0f / float(rows.padded * columns.padded));
      for_vectors(p.c, [&](int64_t c, auto lanes) {
        VF sum = hn::Zero(d);
        for (int64_t h = rows.begin; h < rows.end; ++h)
          for (int64_t w = columns.begin; w < columns.end; ++w) sum = hn::Add(sum, lanes.load(image + (h * p.w + w) * p.c + c));
        lanes.store(hn::Mul(sum, scale), y + (row * p.ow + ow) * p.c + c);
      });
    }
  }
}

// Adds to rows [begin, end) of dx what each window that covers them gives: share(out, tap, c, lanes) is the gradient
// of the window's element `tap`, for channels c.. of window `out`.
template <class Share>
HWY_INLINE void gather(float* dx, int64_t begin, int64_t end, const Pool2dParams& p, Share share) {
  const bool tiled = p.kh == p.stride && p.kw == p.stride && p.padding == 0;  // at most one window for each pixel
  for (int64_t row = begin; row < end; ++row) {
    const int64_t n = row / p.h, h = row % p.h + p.padding;
    float* out = dx + row * p.w * p.c;
    const int64_t first = h < p.kh ? 0 : (h - p.kh) / p.stride + 1, last = std::min(h / p.stride, p.oh - 1);
    const int64_t covered = tiled && first <= last ? std::min(p.ow * p.stride, p.w) : 0;
    std::fill(out + covered * p.c, out + p.w * p.c, 0.0f);
    for (int64_t oh = first; oh <= last; ++oh)
      for (int64_t ow = 0; ow < p.ow; ++ow) {
        const PoolSpan columns = pool_span(ow, p.w, p.kw, p);
        const int64_t window = (n * p.oh + oh) * p.ow + ow, tap = (h - oh * p.stride) * p.kw - columns.start;
        for_vectors(p.c, [&](int64_t c, auto lanes) {
          const auto value = share(window, c, lanes);
          for (int64_t w = columns.begin; w < columns.end; ++w) {
            float* to = out + w * p.c + c;
            const VF g = value(int32_t(tap + w));
            lanes.store(tiled ? g : hn::Add(lanes.load(to), g), to);
          }
        });
      }
  }
}

void MaxBackward(float* dx, const float* dy, const int32_t* tap, int64_t begin, int64_t end, const Pool2dParams& p) {
  gather(dx, begin, end, p, [&](int64_t window, int64_t c, auto lanes) {
    const VF g = lanes.load(dy + window * p.c + c);
    const VI where = load_taps(tap + window * p.c + c, lanes);
    return [=](int32_t t) { return hn::IfThenElseZero(hn::RebindMask(F32(), hn::Eq(where, hn::Set(I32(), t))), g); };
  });
}

void AvgBackward(float* dx, const float* dy, int64_t begin, int64_t end, const Pool2dParams& p) {
  gather(dx, begin, end, p, [&](int64_t window, int64_t c, auto lanes) {
    const PoolSpan rows = pool_span(window / p.ow % p.oh, p.h, p.kh, p), columns = pool_span(window % p.ow, p.w, p.kw, p);
    const VF g = hn::Mul(lanes.load(dy + window * p.c + c), hn::Set(F32(), 1.0f / float(rows.padded * columns.padded)));
    return [=](int32_t) { return g; };
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(MaxForward);
HWY_EXPORT(MaxBackward);
HWY_EXPORT(AvgForward);
HWY_EXPORT(AvgBackward);

// Rows for one task: about 64 KB of x.
static int64_t grain(int64_t floats_per_row) { return std::max<int64_t>(1, (1 << 14) / floats_per_row); }

void max_pool2d_forward(Context& context, float* y, int32_t* tap, const float* x, const Pool2dParams& p) {
  context.pool().parallel_range(p.n * p.oh, grain(p.kh * p.w * p.c), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(MaxForward)(y, tap, x, begin, end, p);
  });
}

void max_pool2d_backward(Context& context, float* dx, const float* dy, const int32_t* tap, const Pool2dParams& p) {
  context.pool().parallel_range(p.n * p.h, grain(p.w * p.c), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(MaxBackward)(dx, dy, tap, begin, end, p);
  });
}

void avg_pool2d_forward(Context& context, float* y, const float* x, const Pool2dParams& p) {
  context.pool().parallel_range(p.n * p.oh, grain(p.kh * p.w * p.c), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AvgForward)(y, x, begin, end, p);
  });
}

void avg_pool2d_backward(Context& context, float* dx, const float* dy, const Pool2dParams& p) {
  context.pool().parallel_range(p.n * p.h, grain(p.w * p.c), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AvgBackward)(dx, dy, begin, end, p);
  });
}

GRAFT_KERNEL(max_pool2d, forward, cpu, float, MaxPool2dForward);
GRAFT_KERNEL(max_pool2d, backward, cpu, float, MaxPool2dBackward);
GRAFT_KERNEL(avg_pool2d, forward, cpu, float, AvgPool2dForward);
GRAFT_KERNEL(avg_pool2d, backward, cpu, float, AvgPool2dBackward);

}  // namespace graft::cpu
#endif
