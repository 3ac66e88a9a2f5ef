// Copies of operands whose lines do not start at multiples of 16 bytes (a vocabulary of 50257, a slice): TMA takes no others. A
// copy costs four bytes of memory a bf16 value, the product n or m multiply-adds.
#pragma once
#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

// to[i, 0 .. padded) = from[i, 0 .. line) and zeros; padded in units of 16 bytes, 16 of them a thread.
template <class T>
__global__ void __launch_bounds__(kThreads) align_lines_v1(T* to, const T* from, int64_t lines, int line, int padded) {
  constexpr int kWidth = kVector<T>;
  const int per_line = padded / kWidth;
  for (int64_t at = global_thread(); at < lines * per_line; at += global_threads()) {
    const int64_t i = at / per_line;
    const int j = int(at - i * per_line) * kWidth;
    float v[kWidth];
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v[e] = j + e < line ? to_float(from[i * line + j + e]) : 0.0f;
    store(to + i * padded + j, v);
  }
}

// f(p) where the lines of p are aligned: its own, or those of copies that live as long.
template <class T, class F>
void with_aligned_lines(Context& context, MatrixProduct<T> p, F f) {
  const auto padded = [](const T* x, int64_t line) {
    constexpr int64_t kWidth = kVector<T>;
    return is_aligned_16(x) && line % kWidth == 0 ? 0 : ceil_div(line, kWidth) * kWidth;
  };
  const int64_t a_line = p.a_line(), b_line = p.b_line(), a_lines = p.shape.batch * p.a_lines(),
                b_lines = p.shape.batch * p.b_lines();
  p.padded_a = padded(p.a, a_line), p.padded_b = padded(p.b, b_line);
  const auto a = device_scratch<T>(context, size_t(a_lines * p.padded_a)),
             b = device_scratch<T>(context, size_t(b_lines * p.padded_b));
  const auto copy = [&](T* to, const T*& x, int64_t lines, int64_t line, int64_t padded_line) {
    if (padded_line == 0) return;
    launch_threads(context, lines * (padded_line / kVector<T>), align_lines_v1<T>, to, x, lines, index_32(line),
                   index_32(padded_line));
    x = to;
  };
  copy(a.get(), p.a, a_lines, a_line, p.padded_a);
  copy(b.get(), p.b, b_lines, b_line, p.padded_b);
  f(p);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
