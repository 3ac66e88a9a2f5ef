// y[i] = f(x[i], ...) for any f, y and x in memory in types of their own: what every elementwise op is made of.
//
// v1 plain    one thread an element: a warp reads 128 bytes of f32 or 64 of bf16, whole lines either way; accepts all
// v2 vectors  one thread 16 bytes of the shortest type, so that each access of a warp moves 512 bytes; the last elements that
//             fill no vector go one by one. Wants addresses in units of 16 bytes
//
// Bytes an element (the prediction): what y and each x are wide, once. y may be any of the x.
#pragma once
#include <algorithm>

#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"

namespace graft::GRAFT_GPU {
namespace {

template <class... T>
constexpr int kMapWidth = 16 / int(std::min({sizeof(T)...}));

template <class F, class Y, class... X>
__global__ void __launch_bounds__(kThreads) map_v1(Y* y, F f, int64_t n, const X*... x) {
  const int64_t i = global_thread();
  if (i < n) y[i] = from_float<Y>(f(to_float(x[i])...));
}

template <int kWidth, class F, class Y, class... V>
__device__ void map_vector(Y* y, F f, const V&... v) {
  float out[kWidth];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) out[j] = f(v.v[j]...);
  store<kWidth>(y, out);
}
template <int kWidth>
struct Floats {
  float v[kWidth];
  template <class X>
  __device__ explicit Floats(const X* x) {
    load<kWidth>(v, x);
  }
};

template <class F, class Y, class... X>
__global__ void __launch_bounds__(kThreads) map_v2(Y* y, F f, int64_t n, const X*... x) {
  constexpr int kWidth = kMapWidth<Y, X...>;
  const int64_t i = global_thread() * kWidth;
  if (i + kWidth <= n) return map_vector<kWidth>(y + i, f, Floats<kWidth>(x + i)...);
  for (int64_t j = i; j < n; ++j) y[j] = from_float<Y>(f(to_float(x[j])...));
}

template <class F, class Y, class... X>
void map_plain(Context& context, Y* y, F f, int64_t n, const X*... x) {
  void (*const kernel)(Y*, F, int64_t, const X*...) = map_v1<F, Y, X...>;
  launch_threads(context, n, kernel, y, f, n, x...);
}
template <class F, class Y, class... X>
void map_vectors(Context& context, Y* y, F f, int64_t n, const X*... x) {
  void (*const kernel)(Y*, F, int64_t, const X*...) = map_v2<F, Y, X...>;
  launch_threads(context, ceil_div(n, kMapWidth<Y, X...>), kernel, y, f, n, x...);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
