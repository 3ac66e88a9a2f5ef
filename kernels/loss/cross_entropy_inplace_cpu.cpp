// On the CPU the two passes of cross_entropy one after the other: its rows are in cache the second time anyway.
#include "kernels/common/registry.h"
#include "kernels/elementwise/axpby.h"
#include "kernels/loss/cross_entropy_inplace.h"

namespace graft::cpu {

void cross_entropy_inplace_forward(Context& context, float* loss, float* x, const int64_t* labels, const CrossEntropyParams& p) {
  const float one = 1;
  const auto normaliser = context.scratch<float>(size_t(2 * p.n));
  cross_entropy_forward(context, loss, normaliser.get(), x, labels, p);
  cross_entropy_backward(context, x, &one, x, normaliser.get(), labels, p);
}

void cross_entropy_inplace_backward(Context& context, float* dx, const float* dloss, const CrossEntropyParams& p) {
  if (*dloss != 1.0f) axpby_forward(context, dx, dx, {*dloss, 0, p.n * p.line()});
}

GRAFT_KERNEL(cross_entropy_inplace, forward, cpu, float, CrossEntropyInplaceForward);
GRAFT_KERNEL(cross_entropy_inplace, backward, cpu, float, CrossEntropyInplaceBackward);

}  // namespace graft::cpu
