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

// Rows [chunk blockIdx.y, + chunk) of 32 vectors of columns: a warp reads 512 bytes of a row, a thread has four rows under way.
constexpr int kColumnWarps = kThreads / 32, kRowsAtOnce = 4;
template <class T, class Sum>
__global__ void __launch_bounds__(kThreads) column_sums_v2(Sum* out, const T* x, int64_t rows, int64_t columns, int64_t chunk) {
  constexpr int kWidth = kVector<T>, kColumns = 32 * kWidth;
  struct Smem {
    alignas(16) float sum[kColumnWarps][kColumns];
  };
  auto& s = shared<Smem>();
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const int64_t first = int64_t(blockIdx.x) * kColumns, column = first + lane * kWidth;
  const int64_t begin = int64_t(blockIdx.y) * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float sum[kWidth] = {};
  const auto add = [&](const uint4& packed) {
    float v[kWidth];
    unpack<T>(v, packed);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[j] += v[j];
  };
  if (column < columns) {
    int64_t r = begin + warp;
    for (; r + (kRowsAtOnce - 1) * kColumnWarps < end; r += kRowsAtOnce * kColumnWarps) {
      uint4 next[kRowsAtOnce];
#pragma unroll
      for (int u = 0; u < kRowsAtOnce; ++u) next[u] = load_packed(x + (r + u * kColumnWarps) * columns + column);
#pragma unroll
      for (int u = 0; u < kRowsAtOnce; ++u) add(next[u]);
    }
    for (; r < end; r += kColumnWarps) add(load_packed(x + r * columns + column));
  }
  store(&s.sum[warp][lane * kWidth], sum);
  __syncthreads();
  for (int c = int(threadIdx.x); c < kColumns && first + c < columns; c += kThreads) {
    float total = s.sum[0][c];
#pragma unroll
    for (int w = 1; w < kColumnWarps; ++w) total += s.sum[w][c];
    out[int64_t(blockIdx.y) * columns + first + c] = from_float<Sum>(total);
  }
}

// dbias[columns], the sums over the rows of dy[rows, columns]; nothing where dbias is null. Of lines in units of 16 bytes: chunks
// of rows that make four blocks a multiprocessor of an H100, then the sum of the chunks.
template <class T>
void bias_gradient(Context& context, T* dbias, const T* dy, int64_t rows, int64_t columns) {
  constexpr int64_t kFill = 4 * 132, kLeastRows = kColumnWarps * kRowsAtOnce;
  if (!dbias) return;
  if (!aligned_16(dy) || columns % kVector<T> != 0 || columns == 0)
    return sum_columns(context, 1, rows, columns, ColumnTerm<T>{dy, columns}, ColumnStore<T>{dbias});
  const int64_t tiles = ceil_div(columns, 32 * kVector<T>);
  const int64_t chunk = std::max(ceil_div(rows * tiles, kFill), kLeastRows), chunks = std::max<int64_t>(ceil_div(rows, chunk), 1);
  const dim3 grid{unsigned(tiles), unsigned(chunks)};
  if (chunks == 1) return launch(column_sums_v2<T, T>, grid, kThreads, 0, context, dbias, dy, rows, columns, chunk);
  const auto partial = device_scratch<float>(context, size_t(chunks * columns));
  launch(column_sums_v2<T, float>, grid, kThreads, 0, context, partial.get(), dy, rows, columns, chunk);
  sum_columns(context, 1, chunks, columns, PartialTerm<1>{partial.get(), chunks, columns}, ColumnStore<T>{dbias});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
