#include "tensor/ops/conv2d.h"

#include "kernels/conv2d/conv2d.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"
#include "tensor/ops/activation.h"
#include "tensor/ops/binary.h"

namespace graft {
namespace {

Conv2dParams checked_params(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& o) {
  check<ShapeError>(x.rank() == 4, "conv2d: x: expected [N, H, W, C], got {}", x.shape());
  check<ShapeError>(weight.rank() == 4, "conv2d: weight: expected [Cout, kh, kw, Cin / groups], got {}", weight.shape());
  check<ShapeError>(o.stride >= 1 && o.padding >= 0 && o.dilation >= 1 && o.groups >= 1,
                    "conv2d: expected stride, dilation, groups >= 1 and padding >= 0, got {}, {}, {} and {}", o.stride, o.dilation,
                    o.groups, o.padding);
  const Conv2dParams p{x.size(0),      x.size(1), x.size(2), x.size(3),  weight.size(0), weight.size(1),
                       weight.size(2), o.stride,  o.padding, o.dilation, o.groups,       o.activation};
  check<ShapeError>(p.c_in % p.groups == 0 && p.c_out % p.groups == 0,
                    "conv2d: groups: expected a divisor of {} input and {} output channels, got {}", p.c_in, p.c_out, p.groups);
  check<ShapeError>(weight.size(3) == p.c_in / p.groups,
                    "conv2d: weight: expected [Cout, kh, kw, {}] for x {} and {} groups, got {}", p.c_in / p.groups, x.shape(),
                    p.groups, weight.shape());
  check<ShapeError>(!bias || bias.shape() == Shape{p.c_out}, "conv2d: bias: expected [{}], got {}", p.c_out,
                    bias ? bias.shape() : Shape{});
  const auto covers = [&](int64_t size, int64_t k) { return k >= 1 && size + 2 * p.padding >= p.dilation * (k - 1) + 1; };
  check<ShapeError>(covers(p.h, p.kh) && covers(p.w, p.kw),
                    "conv2d: x: expected an image of at least the kernel {}x{} with dilation {}, got {} with padding {}", p.kh,
                    p.kw, p.dilation, x.shape(), p.padding);
  check_same("conv2d", x, {{"weight", &weight}, {"bias", &bias}});
  return p;
}

// In bf16, which GPUs alone know: how exact sums made on the way are depends on it (kernels/matmul/statistics.cuh). Channels of a
// group in units of 16 bytes: the fast versions make no others.
bool makes_statistics(const Tensor& x, const Conv2dParams& p) { return x.dtype() == DType::bf16 && p.c_out / p.groups % 8 == 0; }

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options, const Tensor& residual,
              Tensor* statistics) {
  const Conv2dParams p = checked_params(x, weight, bias, options);
  const Shape shape{p.n, p.out_h(), p.out_w(), p.c_out};
  check<ShapeError>(!residual || residual.shape() == shape, "conv2d: residual: expected {}, got {}", shape,
                    residual ? residual.shape() : Shape{});
  check_same("conv2d", x, {{"residual", &residual}});
  const Op op = p.groups > 1 && p.groups == p.c_in && p.c_in == p.c_out ? Op::depthwise_conv2d : Op::conv2d;
  const Activation f = options.activation;
  if ((f != Activation::none && f != Activation::relu) || (residual && op == Op::depthwise_conv2d)) {
    Conv2dOptions linear = options;
    linear.activation = Activation::none;
    const Tensor y = conv2d(x, weight, bias, linear);
    if (statistics) *statistics = Tensor();
    return activation(residual ? add(y, residual) : y, f);
  }
  Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  Tensor made;
  if (statistics && op == Op::conv2d && makes_statistics(x, p)) made = Tensor::empty({2, p.c_out}, accumulated(x), x.device());
  if (op == Op::conv2d) call<Conv2dForward>(op, Pass::forward, x, y, made, x, weight, bias, residual, p);
  else call<DepthwiseConv2dForward>(op, Pass::forward, x, y, x, weight, bias, p);
  record("conv2d", y, {x, weight, bias, residual},
         [x = x.detach(), weight = weight.detach(), y = y.detach(), p, op](const Tensor& dy, const Needs& needs) {
           Tensor dx, dweight, dbias;
           if (needs[0]) {
             dx = Tensor::empty_like(x);
             if (op == Op::conv2d)  // in a residual network the other branches hand over their gradients before this one
               call<Conv2dDgrad>(op, Pass::dgrad, x, dx, dy, weight, y, needs.take(0), p);
             else call<DepthwiseConv2dDgrad>(op, Pass::dgrad, x, dx, dy, weight, y, p);
           }
           if (needs[1] || needs[2]) {
             dweight = Tensor::empty_like(weight);
             if (needs[2]) dbias = Tensor::empty({p.c_out}, x.dtype(), x.device());
             call<Conv2dWgrad>(op, Pass::wgrad, x, dweight, dbias, dy, x, y, p);
           }
           Tensor dresidual = dy;
           if (needs[3] && p.activation == Activation::relu) {
             dresidual = Tensor::empty_like(y);
             call<ActivationBackward>(Op::activation, Pass::backward, y, dresidual, Tensor(), dy, y,
                                      ActivationParams{Activation::relu, y.numel()});
           }
           return std::vector{dx, dweight, dbias, needs[3] ? dresidual : Tensor()};
         });
  if (statistics) *statistics = made;
  return y;
}

}  // namespace graft
