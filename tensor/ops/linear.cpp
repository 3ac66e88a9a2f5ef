#include "tensor/ops/linear.h"

#include "kernels/matmul/linear.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation f, const Tensor& residual) {
  check<ShapeError>(weight.rank() == 2, "linear: weight: expected [out, in], got {}", weight.shape());
  const int64_t out = weight.size(0), in = weight.size(1);
  check<ShapeError>(x.rank() >= 1 && x.size(-1) == in, "linear: x: expected [.., {}], got {}", in, x.shape());
  check<ShapeError>(!bias || bias.shape() == Shape{out}, "linear: bias: expected [{}], got {}", out, bias ? bias.shape() : Shape{});
  check_same("linear", x, {{"weight", &weight}, {"bias", &bias}, {"residual", &residual}});
  const bool recorded = grad_enabled() && (x.requires_grad() || weight.requires_grad() || (bias && bias.requires_grad()));
  // The product's kernel computes relu, and gelu where nothing is recorded: the gradient of others needs what came before them.
  const bool fused = f == Activation::none || f == Activation::relu || (f == Activation::gelu && !recorded);
  Shape shape = x.shape();
  shape.set(-1, out);
  check<ConfigError>(!residual || f == Activation::none, "linear: residual: expected no activation with it");
  check<ShapeError>(!residual || residual.shape() == shape, "linear: residual: expected {}, got {}", shape,
                    residual ? residual.shape() : Shape{});
  const LinearParams p{x.shape().product(0, x.rank() - 1), in, out, fused ? f : Activation::none};
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  call<LinearForward>(Op::linear, Pass::forward, x, y, x, weight, bias, residual, p);
  const ActivationParams q{f, y.numel(), out};
  Tensor saved = f == Activation::relu ? y.detach() : Tensor();  // what the gradient of f reads
  if (!fused) {
    saved = y;
    if (recorded) y = Tensor::empty_like(saved);
    call<ActivationForward>(Op::activation, Pass::forward, x, y, saved, q);
  }
  record("linear", y, {x, weight, bias, residual},
         [x = x.detach(), weight = weight.detach(), saved, fused, p, q](const Tensor& dy, const Needs& needs) {
           Tensor g = dy, dx, dweight, dbias;
           if (needs[2]) dbias = Tensor::empty({p.out}, x.dtype(), x.device());
           if (!fused) {
             g = Tensor::empty_like(saved);
             call<ActivationBackward>(Op::activation, Pass::backward, x, g, dbias, dy, saved, q);
           }
           const Tensor y = fused ? saved : Tensor();
           if (needs[0]) {
             dx = Tensor::empty_like(x);
             call<LinearDgrad>(Op::linear, Pass::dgrad, x, dx, g, weight, y, p);
           }
           if (needs[1] || (needs[2] && fused)) {
             dweight = Tensor::empty_like(weight);
             call<LinearWgrad>(Op::linear, Pass::wgrad, x, dweight, fused ? dbias : Tensor(), g, x, y, p);
           }
           return std::vector{dx, dweight, dbias, needs[3] ? dy : Tensor()};
         });
  return y;
}

}  // namespace graft
