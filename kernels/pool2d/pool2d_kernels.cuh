// max_pool2d: y = max of the window (NaN wins); avg_pool2d: y = sum of the window / its size, padding included; f32 and bf16.
//
// forward   v1 plain    one thread an output; channels are innermost, so a warp reads 32 of them at a time; accepts all
//           v2 vectors  one thread 16 bytes of channels, the window's places worked out once for 4 of f32 or 8 of bf16. Channels in
//                       units of 16 bytes, indices of 32 bits
// backward  v1 plain    one thread an input gathers from the windows that hold it: no atomics, the same bits every time
//           v2 vectors  the same for 16 bytes of channels
// Bytes an element of x: x once (neighbouring windows meet in cache), and y with its taps (4 bytes) by outputs an input.
#include <limits>
#include <type_traits>

#include "kernels/common/divide.h"
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/pool2d/pool2d.h"

namespace graft::GRAFT_GPU {
namespace {

// Indices as I: int where all of them fit (v2), with divisors known before; int64_t, of which a GPU makes a quotient in some
// hundred instructions, takes any.
struct WideDivisor {
  int64_t d;
  __device__ int64_t quotient(int64_t n) const { return n / d; }
  __device__ int64_t divisor() const { return d; }
};
template <class I>
struct Pool {
  using Div = std::conditional_t<std::is_same_v<I, int>, Divisor, WideDivisor>;
  I kh, kw, padding;
  Div h, w, c, oh, ow, stride;
  I inputs, outputs;  // elements
  explicit Pool(const Pool2dParams& p)
      : kh(I(p.kh)),
        kw(I(p.kw)),
        padding(I(p.padding)),
        h{p.h},
        w{p.w},
        c{p.c},
        oh{p.oh},
        ow{p.ow},
        stride{p.stride},
        inputs(I(p.n * p.h * p.w * p.c)),
        outputs(I(p.n * p.oh * p.ow * p.c)) {}
};

// Element i of an image batch [N, H, W, C].
template <class I>
struct Place {
  I n, h, w, c;
};
template <class I, class Div>
__device__ Place<I> place(I i, const Div& height, const Div& width, const Div& channels) {
  const I pixel = channels.quotient(i), line = width.quotient(pixel), n = height.quotient(line);
  return {n, line - n * height.divisor(), pixel - line * width.divisor(), i - pixel * channels.divisor()};
}

// Rows (or columns) of window `out`: [begin, end) inside the image, its unclipped start, its length with padding (pool_span()).
template <class I>
struct Span {
  I start, begin, end, padded;
};
template <class I, class Div>
__device__ Span<I> span(I out, const Div& size, I kernel, const Pool<I>& p) {
  const I start = out * p.stride.divisor() - p.padding, end = start + kernel, image = size.divisor();
  return {start, start < 0 ? 0 : start, end < image ? end : image, (end < image + p.padding ? end : image + p.padding) - start};
}

// The windows that may hold row (or column) `at`: [first, last].
template <class I>
struct Windows {
  I first, last;
};
template <class I, class Div>
__device__ Windows<I> windows(I at, I kernel, const Div& count, const Pool<I>& p) {
  const I reach = at + p.padding - kernel;  // window o begins at o stride - padding > at - kernel
  const I last = p.stride.quotient(at + p.padding);
  return {reach < 0 ? 0 : p.stride.quotient(reach) + 1, last < count.divisor() ? last : count.divisor() - 1};
}

template <int kWidth>
__device__ void load_taps(int32_t (&v)[kWidth], const int32_t* p) {
  if constexpr (kWidth == 1) {
    v[0] = *p;
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; j += 4) {
      const int4 four = *reinterpret_cast<const int4*>(p + j);
      v[j] = four.x, v[j + 1] = four.y, v[j + 2] = four.z, v[j + 3] = four.w;
    }
  }
}
template <int kWidth>
__device__ void store_taps(int32_t* p, const int32_t (&v)[kWidth]) {
  if constexpr (kWidth == 1) {
    *p = v[0];
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; j += 4) *reinterpret_cast<int4*>(p + j) = make_int4(v[j], v[j + 1], v[j + 2], v[j + 3]);
  }
}

template <int kWidth, class T, class I>
__global__ void __launch_bounds__(kThreads) max_pool2d(T* y, int32_t* tap, const T* x, Pool<I> p) {
  if (global_thread() * kWidth >= p.outputs) return;
  const I i = I(global_thread()) * kWidth;
  const auto o = place(i, p.oh, p.ow, p.c);
  const auto rows = span(o.h, p.h, p.kh, p), columns = span(o.w, p.w, p.kw, p);
  const T* const image = x + o.n * p.h.divisor() * p.w.divisor() * p.c.divisor() + o.c;
  float best[kWidth];
  int32_t at[kWidth];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) best[j] = NAN, at[j] = -1;
  for (I h = rows.begin; h < rows.end; ++h)
    for (I w = columns.begin; w < columns.end; ++w) {
      float v[kWidth];
      load<kWidth>(v, image + (h * p.w.divisor() + w) * p.c.divisor());
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        if (at[j] >= 0 && !(v[j] > best[j]) && v[j] == v[j]) continue;
        best[j] = v[j];
        at[j] = int32_t((h - rows.start) * p.kw + w - columns.start);
      }
    }
  store<kWidth>(y + i, best);
  if (tap) store_taps<kWidth>(tap + i, at);
}

template <int kWidth, class T, class I>
__global__ void __launch_bounds__(kThreads) max_pool2d_gradient(T* dx, const T* dy, const int32_t* tap, Pool<I> p) {
  if (global_thread() * kWidth >= p.inputs) return;
  const I i = I(global_thread()) * kWidth;
  const auto at = place(i, p.h, p.w, p.c);
  const auto rows = windows(at.h, p.kh, p.oh, p), columns = windows(at.w, p.kw, p.ow, p);
  float sum[kWidth] = {};
  for (I oh = rows.first; oh <= rows.last; ++oh)
    for (I ow = columns.first; ow <= columns.last; ++ow) {
      const I o = ((at.n * p.oh.divisor() + oh) * p.ow.divisor() + ow) * p.c.divisor() + at.c;
      const I mine = (at.h - (oh * p.stride.divisor() - p.padding)) * p.kw + at.w - (ow * p.stride.divisor() - p.padding);
      float v[kWidth];
      int32_t taps[kWidth];
      load<kWidth>(v, dy + o);
      load_taps<kWidth>(taps, tap + o);
#pragma unroll
      for (int j = 0; j < kWidth; ++j)
        if (taps[j] == mine) sum[j] += v[j];
    }
  store<kWidth>(dx + i, sum);
}

template <int kWidth, class T, class I>
__global__ void __launch_bounds__(kThreads) avg_pool2d(T* y, const T* x, Pool<I> p) {
  if (global_thread() * kWidth >= p.outputs) return;
  const I i = I(global_thread()) * kWidth;
  const auto o = place(i, p.oh, p.ow, p.c);
  const auto rows = span(o.h, p.h, p.kh, p), columns = span(o.w, p.w, p.kw, p);
  const float share = 1.0f / float(rows.padded * columns.padded);
  const T* const image = x + o.n * p.h.divisor() * p.w.divisor() * p.c.divisor() + o.c;
  float sum[kWidth] = {};
  for (I h = rows.begin; h < rows.end; ++h)
#pragma unroll 2
    for (I w = columns.begin; w < columns.end; ++w) {
      float v[kWidth];
      load<kWidth>(v, image + (h * p.w.divisor() + w) * p.c.divisor());
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += v[j];
    }
#pragma unroll
  for (int j = 0; j < kWidth; ++j) sum[j] *= share;
  store<kWidth>(y + i, sum);
}

template <int kWidth, class T, class I>
__global__ void __launch_bounds__(kThreads) avg_pool2d_gradient(T* dx, const T* dy, Pool<I> p) {
  if (global_thread() * kWidth >= p.inputs) return;
  const I i = I(global_thread()) * kWidth;
  const auto at = place(i, p.h, p.w, p.c);
  const auto rows = windows(at.h, p.kh, p.oh, p), columns = windows(at.w, p.kw, p.ow, p);
  float sum[kWidth] = {};
  for (I oh = rows.first; oh <= rows.last; ++oh)
    for (I ow = columns.first; ow <= columns.last; ++ow) {
      const float share = 1.0f / float(span(oh, p.h, p.kh, p).padded * span(ow, p.w, p.kw, p).padded);
      float v[kWidth];
      load<kWidth>(v, dy + ((at.n * p.oh.divisor() + oh) * p.ow.divisor() + ow) * p.c.divisor() + at.c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += v[j] * share;
    }
  store<kWidth>(dx + i, sum);
}

// Pooling with kWidth channels a thread.
template <class T, int kWidth, class I>
struct Pooling {
  using P = Pool2dParams;
  static int64_t inputs(const P& p) { return p.n * p.h * p.w * p.c; }
  static int64_t outputs(const P& p) { return p.n * p.oh * p.ow * p.c; }
  template <class... A>
  static bool fits(const P& p, const A*... pointers) {
    constexpr int64_t kMost = std::numeric_limits<int>::max() / 2;                     // windows may reach beyond the image
    const bool counted = inputs(p) <= kMost && outputs(p) > 0 && outputs(p) <= kMost;  // no Divisor is 0
    return p.c % kWidth == 0 && aligned_16(pointers...) && counted;
  }
  static bool supports_max(T* y, int32_t* tap, const T* x, const P& p) { return fits(p, y, tap, x); }
  static void max(Context& context, T* y, int32_t* tap, const T* x, const P& p) {
    launch_threads(context, outputs(p) / kWidth, max_pool2d<kWidth, T, I>, y, tap, x, Pool<I>(p));
  }
  static bool supports_max_backward(T* dx, const T* dy, const int32_t* tap, const P& p) { return fits(p, dx, dy, tap); }
  static void max_backward(Context& context, T* dx, const T* dy, const int32_t* tap, const P& p) {
    launch_threads(context, inputs(p) / kWidth, max_pool2d_gradient<kWidth, T, I>, dx, dy, tap, Pool<I>(p));
  }
  static bool supports_avg(T* y, const T* x, const P& p) { return fits(p, y, x); }
  static void avg(Context& context, T* y, const T* x, const P& p) {
    launch_threads(context, outputs(p) / kWidth, avg_pool2d<kWidth, T, I>, y, x, Pool<I>(p));
  }
  static void avg_backward(Context& context, T* dx, const T* dy, const P& p) {
    launch_threads(context, inputs(p) / kWidth, avg_pool2d_gradient<kWidth, T, I>, dx, dy, Pool<I>(p));
  }
};
template <class T>
using Plain = Pooling<T, 1, int64_t>;
template <class T>
using Vectors = Pooling<T, kVector<T>, int>;

template <class T>
constexpr Rung<MaxPool2dForward<T>> kMax[] = {
    {{1, "plain"}, accepts_all, Plain<T>::max},
    {{2, "vectors"}, Vectors<T>::supports_max, Vectors<T>::max},
};
template <class T>
constexpr Rung<MaxPool2dBackward<T>> kMaxBackward[] = {
    {{1, "plain"}, accepts_all, Plain<T>::max_backward},
    {{2, "vectors"}, Vectors<T>::supports_max_backward, Vectors<T>::max_backward},
};
template <class T>
constexpr Rung<AvgPool2dForward<T>> kAvg[] = {
    {{1, "plain"}, accepts_all, Plain<T>::avg},
    {{2, "vectors"}, Vectors<T>::supports_avg, Vectors<T>::avg},
};
template <class T>
constexpr Rung<AvgPool2dBackward<T>> kAvgBackward[] = {
    {{1, "plain"}, accepts_all, Plain<T>::avg_backward},
    {{2, "vectors"}, Vectors<T>::supports_avg, Vectors<T>::avg_backward},
};

}  // namespace

template <class T>
void max_pool2d_forward(Context& context, T* y, int32_t* tap, const T* x, const Pool2dParams& p) {
  run_version(Op::max_pool2d, kMax<T>, context, y, tap, x, p);
}
template <class T>
void max_pool2d_backward(Context& context, T* dx, const T* dy, const int32_t* tap, const Pool2dParams& p) {
  run_version(Op::max_pool2d, kMaxBackward<T>, context, dx, dy, tap, p);
}
template <class T>
void avg_pool2d_forward(Context& context, T* y, const T* x, const Pool2dParams& p) {
  run_version(Op::avg_pool2d, kAvg<T>, context, y, x, p);
}
template <class T>
void avg_pool2d_backward(Context& context, T* dx, const T* dy, const Pool2dParams& p) {
  run_version(Op::avg_pool2d, kAvgBackward<T>, context, dx, dy, p);
}

GRAFT_GPU_KERNEL(max_pool2d, forward, MaxPool2dForward, kMax);
GRAFT_GPU_KERNEL(max_pool2d, backward, MaxPool2dBackward, kMaxBackward);
GRAFT_GPU_KERNEL(avg_pool2d, forward, AvgPool2dForward, kAvg);
GRAFT_GPU_KERNEL(avg_pool2d, backward, AvgPool2dBackward, kAvgBackward);

}  // namespace graft::GRAFT_GPU
