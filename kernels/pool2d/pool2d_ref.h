#pragma once
#include "kernels/pool2d/pool2d.h"

namespace graft::ref {

// f(output element, its window's rows, columns, offset of channel c of image n in x), for every output element in
// order.
template <class F>
void for_windows(const Pool2dParams& p, F f) {
  int64_t out = 0;
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t oh = 0; oh < p.oh; ++oh)
      for (int64_t ow = 0; ow < p.ow; ++ow)
        for (int64_t c = 0; c < p.c; ++c, ++out)
          f(out, pool_span(oh, p.h, p.kh, p), pool_span(ow, p.w, p.kw, p), n * p.h * p.w * p.c + c);
}

template <class T>
void max_pool2d_forward(Context&, T* y, int32_t* tap, const T* x, const Pool2dParams& p) {
  for_windows(p, [&](int64_t out, PoolSpan rows, PoolSpan columns, int64_t base) {
    bool first = true;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) {
        const T v = x[base + (h * p.w + w) * p.c];
        if (!first && !(v > y[out]) && v == v) continue;
        first = false;
        y[out] = v;
        if (tap) tap[out] = int32_t((h - rows.start) * p.kw + w - columns.start);
      }
  });
}

template <class T>
void max_pool2d_backward(Context&, T* dx, const T* dy, const int32_t* tap, const Pool2dParams& p) {
  std::fill_n(dx, p.n * p.h * p.w * p.c, T(0));
  for_windows(p, [&](int64_t out, PoolSpan rows, PoolSpan columns, int64_t base) {
    const int64_t h = rows.start + tap[out] / p.kw, w = columns.start + tap[out] % p.kw;
    dx[base + (h * p.w + w) * p.c] += dy[out];
  });
}

template <class T>
void avg_pool2d_forward(Context&, T* y, const T* x, const Pool2dParams& p) {
  for_windows(p, [&](int64_t out, PoolSpan rows, PoolSpan columns, int64_t base) {
    T sum = 0;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) sum += x[base + (h * p.w + w) * p.c];
    y[out] = sum / T(rows.padded * columns.padded);
  });
}

template <class T>
void avg_pool2d_backward(Context&, T* dx, const T* dy, const Pool2dParams& p) {
  std::fill_n(dx, p.n * p.h * p.w * p.c, T(0));
  for_windows(p, [&](int64_t out, PoolSpan rows, PoolSpan columns, int64_t base) {
    const T share = dy[out] / T(rows.padded * columns.padded);
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) dx[base + (h * p.w + w) * p.c] += share;
  });
}

}  // namespace graft::ref
