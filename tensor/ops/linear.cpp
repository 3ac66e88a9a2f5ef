#include "tensor/ops/linear.h"

#include "kernels/matmul/linear.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"
#include "tensor/ops/activation.h"

namespace graft {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation f) {
  check<ShapeError>(weight.rank() == 2, "linear: weight: expected [out, in], got {}", weight.shape());
  const int64_t out = weight.size(0), in = weight.size(1);
  check<ShapeError>(x.rank() >= 1 && x.size(-1) == in, "linear: x: expected [.., {}], got {}", in, x.shape());
  check<ShapeError>(!bias || bias.shape() == Shape{out}, "linear: bias: expected [{}], got {}", out, bias ? bias.shape() : Shape{});
  check_same("linear", x, {{"weight", &weight}, {"bias", &bias}});
  // Of gelu the gradient needs what came before it: the kernel that keeps nothing serves where no gradient is asked for.
  const bool recorded = grad_enabled() && (x.requires_grad() || weight.requires_grad() || (bias && bias.requires_grad()));
  const bool fused = f == Activation::none || f == Activation::relu || (f == Activation::gelu && !recorded);
  if (!fused) return activation(linear(x, weight, bias), f);

  Shape shape = x.shape();
  shape.set(-1, out);
  const LinearParams p{x.shape().product(0, x.rank() - 1), in, out, f};
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  call<LinearForward>(Op::linear, Pass::forward, x, y, x, weight, bias, p);
  record("linear", y, {x, weight, bias},
         [x = x.detach(), weight = weight.detach(), y = y.detach(), p](const Tensor& dy, const Needs& needs) {
           Tensor dx, dweight, dbias;
           if (needs[0]) {
             dx = Tensor::empty_like(x);
             call<LinearDgrad>(Op::linear, Pass::dgrad, x, dx, dy, weight, y, p);
           }
           if (needs[1] || needs[2]) {
             dweight = Tensor::empty_like(weight);
             if (needs[2]) dbias = Tensor::empty({p.out}, x.dtype(), x.device());
             call<LinearWgrad>(Op::linear, Pass::wgrad, x, dweight, dbias, dy, x, y, p);
           }
           return std::vector{dx, dweight, dbias};
         });
  return y;
}

}  // namespace graft
