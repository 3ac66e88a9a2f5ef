// The matrix product behind matmul and linear: c = a b (+ bias, relu), with any strides that leave one dimension of a and
// of b contiguous.
#pragma once
#include "kernels/common/context.h"

namespace graft::cpu {

struct Gemm {
  int64_t batch = 1, m, n, k;
  const float* a;
  int64_t a_row, a_k, a_batch = 0;  // steps of the row, of k (one of the two is 1) and of the batch
  const float* b;
  int64_t b_k, b_col, b_batch = 0;
  float* c;  // rows contiguous
  int64_t c_row, c_batch = 0;
  const float* bias = nullptr;  // [n]
  bool relu = false;
};

void gemm(Context&, const Gemm&);

// out[i] = y[i] <= 0 ? 0 : dy[i]: the gradient through a fused relu.
void relu_gradient(Context&, float* out, const float* dy, const float* y, int64_t n);

}  // namespace graft::cpu
