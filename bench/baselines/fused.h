// What libraries leave to another pass over the data and Graft's kernels do in the same one: for a fair comparison these run
// on the threads of the context, vectorised by the compiler.
#pragma once
#include <cstdint>

#include "kernels/runtime/cpu/thread_pool.h"

namespace graft::bench {

inline constexpr int64_t kRowsOfTask = 64;

// y[rows, cols] = bias or 0, for a product that is added to it.
inline void fill_bias(ThreadPool& pool, float* y, const float* bias, int64_t rows, int64_t cols) {
  pool.parallel_range(rows, kRowsOfTask, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < cols; ++c) y[r * cols + c] = bias[c];
  });
}

inline void relu_in_place(ThreadPool& pool, float* y, int64_t n) {
  pool.parallel_range(n, 1 << 16, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = y[i] > 0 ? y[i] : 0;
  });
}

// masked = dy where y > 0, else 0
inline void relu_mask(ThreadPool& pool, float* masked, const float* dy, const float* y, int64_t n) {
  pool.parallel_range(n, 1 << 16, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) masked[i] = y[i] > 0 ? dy[i] : 0;
  });
}

// sums[c] = sum over rows of x[r, c], in double: neither fast nor slow beside the product it goes with
inline void column_sums(float* sums, const float* x, int64_t rows, int64_t cols) {
  for (int64_t c = 0; c < cols; ++c) sums[c] = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) sums[c] += x[r * cols + c];
}

}  // namespace graft::bench
