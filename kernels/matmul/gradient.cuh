// What backward passes of fused layers share: dy through the relu that the forward pass computed, and the bias gradient.
//
// The mask is a pass of its own, three values of memory an element. Inside the loads of a product it would cost more: each
// operand tile is loaded once a block of columns, y beside dy every time, and asynchronous copies cannot compute.
#pragma once
#include "kernels/common/launch.h"
#include "kernels/elementwise/activation.h"
#include "kernels/reduce/vector_columns.cuh"

namespace graft::GRAFT_GPU {
namespace {

// dy counts where y > 0 or y is NaN.
template <int kWidth, class T>
__global__ void __launch_bounds__(kThreads) relu_gradient_v1(T* masked, const T* dy, const T* y, int64_t n) {
  for (int64_t i = global_thread() * kWidth; i < n; i += global_threads() * kWidth) {
    float g[kWidth], at[kWidth];
    load(g, dy + i);
    load(at, y + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) g[e] = at[e] <= 0 ? 0 : g[e];
    store(masked + i, g);
  }
}

// dy, or what relu leaves of it for as long as this lives.
template <class T>
class Gradient {
 public:
  Gradient(Context& context, Activation f, const T* dy, const T* y, int64_t n)
      : masked_(device_scratch<T>(context, size_t(f == Activation::relu ? n : 0))), p_(dy) {
    if (f != Activation::relu || n == 0) return;
    p_ = masked_.get();
    constexpr int kWidth = kVector<T>;
    if (aligned_16(dy, y, masked_.get()) && n % kWidth == 0)
      launch(relu_gradient_v1<kWidth, T>, blocks_for(n / kWidth, kThreads), kThreads, 0, context, masked_.get(), dy, y, n);
    else launch(relu_gradient_v1<1, T>, blocks_for(n, kThreads), kThreads, 0, context, masked_.get(), dy, y, n);
  }
  operator const T*() const { return p_; }

 private:
  decltype(device_scratch<T>(std::declval<Context&>(), size_t{})) masked_;
  const T* p_;
};

// dbias[columns], the sums over the rows of dy[rows, columns]; nothing where dbias is null.
template <class T>
void bias_gradient(Context& context, T* dbias, const T* dy, int64_t rows, int64_t columns) {
  if (!dbias) return;
  if (aligned_16(dy) && columns % kVector<T> == 0)
    sum_vector_columns(context, dbias, rows, columns, PlainVector<kVector<T>, T>{dy});
  else sum_vector_columns(context, dbias, rows, columns, PlainVector<1, T>{dy});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
