// Matrix products of a BLAS as calls of Graft's ops: matmul, linear and the convolutions that are a linear layer of every
// pixel. The bias and the ReLU are passes of their own, as in a framework on top of it.
#pragma once
#include <functional>

#include "bench/baselines/baselines.h"

namespace graft::bench {

// c = op(a) op(b) + beta c, row-major and contiguous.
using Gemm = void(float* c, const float* a, const float* b, int64_t m, int64_t n, int64_t k, bool ta, bool tb, float beta);
using Call = std::function<void(Context&, std::vector<void*>& args)>;

Call gemm_call(Gemm*, const harness::Case&);  // empty: not a product

}  // namespace graft::bench
