#include "kernels/common/registry.h"
#include "kernels/elementwise/axpby.h"
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/matmul.h"

namespace graft::cpu {

void matmul_forward(Context& context, float* c, const float* a, const float* b, const MatmulParams& p) {
  const bool accumulate = p.write == Write::accumulate;
  const int64_t size = p.batch * p.m * p.n;
  const auto product = context.scratch<float>(accumulate ? size_t(size) : 0);
  gemm(context, {.batch = p.batch,
                 .m = p.m,
                 .n = p.n,
                 .k = p.k,
                 .a = a,
                 .a_row = p.transpose_a ? 1 : p.k,
                 .a_k = p.transpose_a ? p.m : 1,
                 .a_batch = p.m * p.k,
                 .b = b,
                 .b_k = p.transpose_b ? 1 : p.n,
                 .b_col = p.transpose_b ? p.k : 1,
                 .b_batch = p.k * p.n,
                 .c = accumulate ? product.get() : c,
                 .c_row = p.n,
                 .c_batch = p.m * p.n});
  if (accumulate) axpby_forward(context, c, product.get(), {1, 1, size});
}

GRAFT_KERNEL(matmul, forward, cpu, float, MatmulForward);

}  // namespace graft::cpu
