// Sums over the rows of a matrix [rows, columns], of its values or of what a functor makes of them on the way:
//   kWidth                    values at once: those of 16 bytes, or 1 for lines and addresses that are not aligned
//   fetch(at) -> Packed       what lies in memory from element `at` on
//   values(v, packed, at)     what of it is added up
#pragma once
#include <algorithm>
#include <type_traits>

#include "kernels/common/vectors.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// Width values as they lie in memory.
template <int kWidth, class T>
using PackedValues = std::conditional_t<kWidth == 1, T, uint4>;
template <int kWidth, class T>
__device__ PackedValues<kWidth, T> fetch_packed(const T* p) {
  if constexpr (kWidth == 1) return *p;
  else return load_packed(p);
}
template <class T, int kWidth>
__device__ void unpack_values(float (&v)[kWidth], const PackedValues<kWidth, T>& packed) {
  if constexpr (kWidth == 1) v[0] = to_float(packed);
  else unpack<T>(v, packed);
}

template <int kValues, class T>
struct PlainVector {
  static constexpr int kWidth = kValues;
  using Packed = PackedValues<kWidth, T>;
  const T* x;
  __device__ Packed fetch(int64_t at) const { return fetch_packed<kWidth>(x + at); }
  __device__ void values(float (&v)[kWidth], const Packed& packed, int64_t) const { unpack_values<T>(v, packed); }
};

template <class T>
struct ColumnStore {
  T* sum;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { sum[c] = from_float<T>(s.v[0]); }
};

// Rows [chunk blockIdx.y, + chunk) of 32 vectors of columns: a warp reads up to 512 bytes of a row, a thread has four under way.
constexpr int kColumnWarps = kThreads / 32, kRowsAtOnce = 4;
template <class Sum, class F>
__global__ void __launch_bounds__(kThreads) vector_columns_v1(Sum* out, int64_t rows, int64_t columns, int64_t chunk, F f) {
  constexpr int kWidth = F::kWidth, kColumns = 32 * kWidth;
  struct Smem {
    alignas(16) float sum[kColumnWarps][kColumns];
  };
  auto& s = shared<Smem>();
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const int64_t first = int64_t(blockIdx.x) * kColumns, column = first + lane * kWidth;
  const int64_t begin = int64_t(blockIdx.y) * chunk, end = begin + chunk < rows ? begin + chunk : rows;
  float sum[kWidth] = {};
  const auto add = [&](const auto& packed, int64_t r) {
    float v[kWidth];
    f.values(v, packed, r * columns + column);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum[j] += v[j];
  };
  if (column < columns) {
    int64_t r = begin + warp;
    for (; r + (kRowsAtOnce - 1) * kColumnWarps < end; r += kRowsAtOnce * kColumnWarps) {
      typename F::Packed next[kRowsAtOnce];
#pragma unroll
      for (int u = 0; u < kRowsAtOnce; ++u) next[u] = f.fetch((r + u * kColumnWarps) * columns + column);
#pragma unroll
      for (int u = 0; u < kRowsAtOnce; ++u) add(next[u], r + u * kColumnWarps);
    }
    for (; r < end; r += kColumnWarps) add(f.fetch(r * columns + column), r);
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

// sum[columns]. Chunks of rows that make four blocks a multiprocessor of an H100, then the sum of the chunks.
template <class T, class F>
void sum_vector_columns(Context& context, T* sum, int64_t rows, int64_t columns, F f) {
  constexpr int64_t kFill = 4 * 132, kLeastRows = kColumnWarps * kRowsAtOnce;
  const int64_t tiles = ceil_div(columns, 32 * F::kWidth);
  if (tiles == 0) return;
  const int64_t chunk = std::max(ceil_div(rows * tiles, kFill), kLeastRows), chunks = std::max<int64_t>(ceil_div(rows, chunk), 1);
  const dim3 grid{unsigned(tiles), unsigned(chunks)};
  if (chunks == 1) return launch(vector_columns_v1<T, F>, grid, kThreads, 0, context, sum, rows, columns, chunk, f);
  const auto partial = device_scratch<float>(context, size_t(chunks * columns));
  launch(vector_columns_v1<float, F>, grid, kThreads, 0, context, partial.get(), rows, columns, chunk, f);
  sum_columns(context, 1, chunks, columns, PartialTerm<1>{partial.get(), chunks, columns}, ColumnStore<T>{sum});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
