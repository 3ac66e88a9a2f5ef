// dgrad with a stride larger than the kernel (the 1 x 1 convolution of a shortcut, stride 2): three pixels of four meet no tap.
// Their gradient is zero, or what comes from elsewhere; a pass of its own at the speed of memory, where an empty product took 47 us
// of each.
#pragma once
#include <algorithm>

#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

// Whether pixel `i` of a dimension meets one of its taps.
__host__ __device__ inline bool meets_tap(int64_t i, int64_t taps, const Conv2dParams& p) {
  for (int64_t tap = 0; tap < taps; ++tap)
    if ((int(i) + int(p.padding) - int(tap) * int(p.dilation)) % int(p.stride) == 0) return true;
  return false;
}

// A thread goes down the lines of all images, kWidth channels of one column.
template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads) unmet_pixels_v1(T* dx, const T* others, Conv2dParams p) {
  const int64_t line = p.w * p.c_in, at = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (at >= line) return;
  const bool column = meets_tap(at / p.c_in, p.kw, p);
  for (int i = int(blockIdx.y); i < int(p.n * p.h); i += int(gridDim.y)) {
    if (column && meets_tap(i % int(p.h), p.kh, p)) continue;
    float v[kWidth] = {};
    if (others) load<kWidth>(v, others + i * line + at);
    store<kWidth>(dx + i * line + at, v);
  }
}

// Writes the pixels that no tap meets, if there are any.
template <class T>
void unmet_pixels(Context& context, T* dx, const T* others, const Conv2dParams& p) {
  bool all = true;
  for (int64_t r = 0; r < p.stride; ++r) all &= (r >= p.h || meets_tap(r, p.kh, p)) && (r >= p.w || meets_tap(r, p.kw, p));
  if (all) return;
  constexpr int64_t kLines = 1024;
  const auto with = [&]<int kWidth>() {
    const dim3 grid(unsigned(ceil_div(p.w * p.c_in, kWidth * kThreads)), unsigned(std::min(int64_t{index_32(p.n * p.h)}, kLines)));
    if (grid.x > 0 && grid.y > 0) launch(unmet_pixels_v1<kWidth, T>, grid, dim3(kThreads), 0, context, dx, others, p);
  };
  if (p.c_in % kVector<T> == 0 && aligned_16(dx, others)) with.template operator()<kVector<T>>();
  else with.template operator()<1>();
}

}  // namespace
}  // namespace graft::GRAFT_GPU
