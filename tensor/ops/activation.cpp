#include "tensor/ops/activation.h"

#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor activation(const Tensor& x, Activation kind) {
  Tensor y = Tensor::empty_like(x);
  const ActivationParams p{kind, x.numel()};
  call<ActivationForward>(Op::activation, Pass::forward, x, y, x, p);
  record("activation", y, {x}, [x = x.detach(), p](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty_like(x);
    call<ActivationBackward>(Op::activation, Pass::backward, x, dx, Tensor(), dy, x, p);
    return std::vector{dx};
  });
  return y;
}

}  // namespace graft
