// max_pool2d: y = max of the window (NaN wins); avg_pool2d: y = sum of the window / its size, padding included; f32 and bf16.
//
// forward   v1 plain    one thread an output; channels are innermost, so a warp reads 32 of them at a time; accepts all
//           v2 vectors  one thread 16 bytes of channels, the window's places worked out once for 4 of f32 or 8 of bf16. Channels in
//                       units of 16 bytes
// backward  v1 plain    one thread an input gathers from the windows that hold it: no atomics, the same bits every time
//           v2 vectors  the same for 16 bytes of channels
// Bytes an element of x: x once (neighbouring windows meet in cache), and y with its taps (4 bytes) by outputs an input.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/pool2d/pool2d.h"

namespace graft::GRAFT_GPU {
namespace {

// Element i of an image batch [N, H, W, C].
struct Place {
  int64_t n, h, w, c;
};
__device__ inline Place place(int64_t i, int64_t height, int64_t width, int64_t channels) {
  return {i / channels / width / height, i / channels / width % height, i / channels % width, i % channels};
}

// The windows that may hold row (or column) `at`: [first, last].
struct Windows {
  int64_t first, last;
};
__device__ inline Windows windows(int64_t at, int64_t kernel, int64_t count, const Pool2dParams& p) {
  const int64_t reach = at + p.padding - kernel;  // window o begins at o stride - padding > at - kernel
  const int64_t last = (at + p.padding) / p.stride;
  return {reach < 0 ? 0 : reach / p.stride + 1, last < count ? last : count - 1};
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

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads) max_pool2d(Previous previous, T* y, int32_t* tap, const T* x, Pool2dParams p) {
  previous.wait();
  const int64_t i = global_thread() * kWidth;
  if (i >= p.n * p.oh * p.ow * p.c) return;
  const Place o = place(i, p.oh, p.ow, p.c);
  const PoolSpan rows = pool_span(o.h, p.h, p.kh, p), columns = pool_span(o.w, p.w, p.kw, p);
  float best[kWidth];
  int32_t at[kWidth];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) best[j] = NAN, at[j] = -1;
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w) {
      float v[kWidth];
      load<kWidth>(v, x + ((o.n * p.h + h) * p.w + w) * p.c + o.c);
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

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads)
    max_pool2d_gradient(Previous previous, T* dx, const T* dy, const int32_t* tap, Pool2dParams p) {
  previous.wait();
  const int64_t i = global_thread() * kWidth;
  if (i >= p.n * p.h * p.w * p.c) return;
  const Place at = place(i, p.h, p.w, p.c);
  const Windows rows = windows(at.h, p.kh, p.oh, p), columns = windows(at.w, p.kw, p.ow, p);
  float sum[kWidth] = {};
  for (int64_t oh = rows.first; oh <= rows.last; ++oh)
    for (int64_t ow = columns.first; ow <= columns.last; ++ow) {
      const int64_t o = ((at.n * p.oh + oh) * p.ow + ow) * p.c + at.c;
      const int64_t mine = (at.h - (oh * p.stride - p.padding)) * p.kw + at.w - (ow * p.stride - p.padding);
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

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads) avg_pool2d(Previous previous, T* y, const T* x, Pool2dParams p) {
  previous.wait();
  const int64_t i = global_thread() * kWidth;
  if (i >= p.n * p.oh * p.ow * p.c) return;
  const Place o = place(i, p.oh, p.ow, p.c);
  const PoolSpan rows = pool_span(o.h, p.h, p.kh, p), columns = pool_span(o.w, p.w, p.kw, p);
  const float share = 1.0f / float(rows.padded * columns.padded);
  const T* const image = x + o.n * p.h * p.w * p.c + o.c;
  float sum[kWidth] = {};
  for (int h = int(rows.begin); h < rows.end; ++h)
    for (int w = int(columns.begin); w < columns.end; ++w) {
      float v[kWidth];
      load<kWidth>(v, image + (h * p.w + w) * p.c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += v[j];
    }
#pragma unroll
  for (int j = 0; j < kWidth; ++j) sum[j] *= share;
  store<kWidth>(y + i, sum);
}

template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads) avg_pool2d_gradient(Previous previous, T* dx, const T* dy, Pool2dParams p) {
  previous.wait();
  const int64_t i = global_thread() * kWidth;
  if (i >= p.n * p.h * p.w * p.c) return;
  const Place at = place(i, p.h, p.w, p.c);
  const Windows rows = windows(at.h, p.kh, p.oh, p), columns = windows(at.w, p.kw, p.ow, p);
  float sum[kWidth] = {};
  for (int64_t oh = rows.first; oh <= rows.last; ++oh)
    for (int64_t ow = columns.first; ow <= columns.last; ++ow) {
      const float share = 1.0f / float(pool_span(oh, p.h, p.kh, p).padded * pool_span(ow, p.w, p.kw, p).padded);
      float v[kWidth];
      load<kWidth>(v, dy + ((at.n * p.oh + oh) * p.ow + ow) * p.c + at.c);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) sum[j] += v[j] * share;
    }
  store<kWidth>(dx + i, sum);
}

// Pooling with kWidth channels a thread.
template <class T, int kWidth>
struct Pooling {
  using P = Pool2dParams;
  static int64_t inputs(const P& p) { return p.n * p.h * p.w * p.c / kWidth; }
  static int64_t outputs(const P& p) { return p.n * p.oh * p.ow * p.c / kWidth; }
  template <class... A>
  static bool fits(const P& p, const A*... pointers) {
    return p.c % kWidth == 0 && aligned_16(pointers...);
  }
  static bool supports_max(T* y, int32_t* tap, const T* x, const P& p) { return fits(p, y, tap, x); }
  static void max(Context& context, T* y, int32_t* tap, const T* x, const P& p) {
    launch_threads(context, outputs(p), max_pool2d<kWidth, T>, y, tap, x, p);
  }
  static bool supports_max_backward(T* dx, const T* dy, const int32_t* tap, const P& p) { return fits(p, dx, dy, tap); }
  static void max_backward(Context& context, T* dx, const T* dy, const int32_t* tap, const P& p) {
    launch_threads(context, inputs(p), max_pool2d_gradient<kWidth, T>, dx, dy, tap, p);
  }
  static bool supports_avg(T* y, const T* x, const P& p) { return fits(p, y, x); }
  static void avg(Context& context, T* y, const T* x, const P& p) {
    launch_threads(context, outputs(p), avg_pool2d<kWidth, T>, y, x, p);
  }
  static void avg_backward(Context& context, T* dx, const T* dy, const P& p) {
    launch_threads(context, inputs(p), avg_pool2d_gradient<kWidth, T>, dx, dy, p);
  }
};
template <class T>
using Plain = Pooling<T, 1>;
template <class T>
using Vectors = Pooling<T, kVector<T>>;

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
