#include "tensor/ops/dropout.h"

#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor dropout(const Tensor& x, double p, Philox stream) {
  check<ConfigError>(p >= 0 && p < 1, "dropout: p: expected in [0, 1), got {}", p);
  Tensor y = Tensor::empty_like(x);
  call<DropoutForward>(Op::dropout, Pass::forward, x, y, x, DropoutParams{p, stream, x.numel()});
  record("dropout", y, {x}, [=](const Tensor& dy, const Needs&) { return std::vector{dropout(dy, p, stream)}; });
  return y;
}

}  // namespace graft
