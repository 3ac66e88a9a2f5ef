// Of each tensor the products and their sum by the kernels of binary and reduce, then the tensors' sums in order.
#include "kernels/common/registry.h"
#include "kernels/elementwise/binary.h"
#include "kernels/optim/global_norm.h"
#include "kernels/reduce/reduce.h"

namespace graft::cpu {

void global_norm_forward(Context& context, double* squares, std::span<const NormTensor<float>> tensors, const GlobalNormParams& p) {
  double sum = p.more ? *squares : 0;
  for (const NormTensor<float>& t : tensors) {
    if (t.n == 0) continue;
    const auto products = context.scratch<float>(size_t(t.n));
    float one = 0;
    binary_forward(context, products.get(), t.x, t.x, {Binary::mul, {1, 1, 1, t.n}, {0, 0, 0, 1}, {0, 0, 0, 1}});
    reduce_forward(context, &one, products.get(), {Reduce::sum, 1, t.n, 1});
    sum += double(one);
  }
  *squares = sum;
}

GRAFT_KERNEL(global_norm, forward, cpu, float, GlobalNormForward);

}  // namespace graft::cpu
