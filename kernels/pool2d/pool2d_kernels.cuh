// max_pool2d: y = max of the window (NaN wins); avg_pool2d: y = sum of the window / its size, padding included.
//
// | version | what it teaches |
// |---|---|
// | v1 forward  | one thread an output; channels are innermost, so a warp reads 32 of them at a time |
// | v1 backward | one thread an input gathers from the windows that hold it: no atomics, the same bits every time |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
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

__global__ void __launch_bounds__(kThreads) max_pool2d_v1(float* y, int32_t* tap, const float* x, Pool2dParams p) {
  const int64_t i = global_thread();
  if (i >= p.n * p.oh * p.ow * p.c) return;
  const Place o = place(i, p.oh, p.ow, p.c);
  const PoolSpan rows = pool_span(o.h, p.h, p.kh, p), columns = pool_span(o.w, p.w, p.kw, p);
  float best = NAN;
  int32_t at = -1;
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w) {
      const float v = x[((o.n * p.h + h) * p.w + w) * p.c + o.c];
      if (at >= 0 && !(v > best) && v == v) continue;
      best = v;
      at = int32_t((h - rows.start) * p.kw + w - columns.start);
    }
  y[i] = best;
  if (tap) tap[i] = at;
}

__global__ void __launch_bounds__(kThreads) max_pool2d_backward_v1(float* dx, const float* dy, const int32_t* tap, Pool2dParams p) {
  const int64_t i = global_thread();
  if (i >= p.n * p.h * p.w * p.c) return;
  const Place at = place(i, p.h, p.w, p.c);
  const Windows rows = windows(at.h, p.kh, p.oh, p), columns = windows(at.w, p.kw, p.ow, p);
  float sum = 0;
  for (int64_t oh = rows.first; oh <= rows.last; ++oh)
    for (int64_t ow = columns.first; ow <= columns.last; ++ow) {
      const int64_t o = ((at.n * p.oh + oh) * p.ow + ow) * p.c + at.c;
      const int64_t mine = (at.h - (oh * p.stride - p.padding)) * p.kw + at.w - (ow * p.stride - p.padding);
      if (tap[o] == mine) sum += dy[o];
    }
  dx[i] = sum;
}

__global__ void __launch_bounds__(kThreads) avg_pool2d_v1(float* y, const float* x, Pool2dParams p) {
  const int64_t i = global_thread();
  if (i >= p.n * p.oh * p.ow * p.c) return;
  const Place o = place(i, p.oh, p.ow, p.c);
  const PoolSpan rows = pool_span(o.h, p.h, p.kh, p), columns = pool_span(o.w, p.w, p.kw, p);
  float sum = 0;
  for (int64_t h = rows.begin; h < rows.end; ++h)
    for (int64_t w = columns.begin; w < columns.end; ++w) sum += x[((o.n * p.h + h) * p.w + w) * p.c + o.c];
  y[i] = sum / float(rows.padded * columns.padded);
}

__global__ void __launch_bounds__(kThreads) avg_pool2d_backward_v1(float* dx, const float* dy, Pool2dParams p) {
  const int64_t i = global_thread();
  if (i >= p.n * p.h * p.w * p.c) return;
  const Place at = place(i, p.h, p.w, p.c);
  const Windows rows = windows(at.h, p.kh, p.oh, p), columns = windows(at.w, p.kw, p.ow, p);
  float sum = 0;
  for (int64_t oh = rows.first; oh <= rows.last; ++oh)
    for (int64_t ow = columns.first; ow <= columns.last; ++ow) {
      const int64_t size = pool_span(oh, p.h, p.kh, p).padded * pool_span(ow, p.w, p.kw, p).padded;
      sum += dy[((at.n * p.oh + oh) * p.ow + ow) * p.c + at.c] / float(size);
    }
  dx[i] = sum;
}

int64_t pool_inputs(const Pool2dParams& p) { return p.n * p.h * p.w * p.c; }
int64_t pool_outputs(const Pool2dParams& p) { return p.n * p.oh * p.ow * p.c; }

}  // namespace

void max_pool2d_forward(Context& context, float* y, int32_t* tap, const float* x, const Pool2dParams& p) {
  launch_threads(context, pool_outputs(p), max_pool2d_v1, y, tap, x, p);
}
void max_pool2d_backward(Context& context, float* dx, const float* dy, const int32_t* tap, const Pool2dParams& p) {
  launch_threads(context, pool_inputs(p), max_pool2d_backward_v1, dx, dy, tap, p);
}
void avg_pool2d_forward(Context& context, float* y, const float* x, const Pool2dParams& p) {
  launch_threads(context, pool_outputs(p), avg_pool2d_v1, y, x, p);
}
void avg_pool2d_backward(Context& context, float* dx, const float* dy, const Pool2dParams& p) {
  launch_threads(context, pool_inputs(p), avg_pool2d_backward_v1, dx, dy, p);
}

GRAFT_KERNEL(max_pool2d, forward, GRAFT_GPU, float, MaxPool2dForward);
GRAFT_KERNEL(max_pool2d, backward, GRAFT_GPU, float, MaxPool2dBackward);
GRAFT_KERNEL(avg_pool2d, forward, GRAFT_GPU, float, AvgPool2dForward);
GRAFT_KERNEL(avg_pool2d, backward, GRAFT_GPU, float, AvgPool2dBackward);

}  // namespace graft::GRAFT_GPU
