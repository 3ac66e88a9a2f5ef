// What backward passes of fused layers share: dy through the relu that the forward pass computed, and the bias gradient.
//
// The mask is a pass of its own, three values of memory an element. Inside the loads of a product it would cost more: each
// operand tile is loaded once a block of columns, y beside dy every time, and asynchronous copies cannot compute.
#pragma once
#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/elementwise/activation.h"
#include "kernels/reduce/sums.cuh"

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

template <class T>
struct ColumnTerm {
  static constexpr int kSums = 1;
  const T* x;
  int64_t columns;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const { return {{to_float(x[r * columns + c])}}; }
};
template <class T>
struct ColumnStore {
  T* sum;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { sum[c] = from_float<T>(s.v[0]); }
};

// dbias[columns], the sums over the rows of dy[rows, columns]; nothing where dbias is null.
template <class T>
void bias_gradient(Context& context, T* dbias, const T* dy, int64_t rows, int64_t columns) {
  if (dbias) sum_columns(context, 1, rows, columns, ColumnTerm<T>{dy, columns}, ColumnStore<T>{dbias});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
