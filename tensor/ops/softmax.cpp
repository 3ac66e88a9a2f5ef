#include "tensor/ops/softmax.h"

#include "kernels/softmax/softmax.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

Tensor over_last(const char* name, Op op, const Tensor& x) {
  check<ShapeError>(x.rank() >= 1 && x.size(-1) > 0, "{}: x: expected [.., C] with C > 0, got {}", name, x.shape());
  const SoftmaxParams p{x.numel() / x.size(-1), x.size(-1)};
  Tensor y = Tensor::empty_like(x);
  call<SoftmaxForward>(op, Pass::forward, x, y, x, p);
  record(name, y, {x}, [op, p, y = y.detach()](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty_like(dy);
    call<SoftmaxBackward>(op, Pass::backward, dy, dx, dy, y, p);
    return std::vector{dx};
  });
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x) { return over_last("softmax", Op::softmax, x); }
Tensor log_softmax(const Tensor& x) { return over_last("log_softmax", Op::log_softmax, x); }

}  // namespace graft
