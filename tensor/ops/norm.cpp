#include "tensor/ops/norm.h"

#include "kernels/norm/norm.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

// weight, bias and the running statistics of `op`: each [C], of the type that x's is added up in, or undefined.
void check_channels(const char* op, const Tensor& x, int min_rank,
                    std::initializer_list<std::pair<const char*, const Tensor*>> vectors) {
  check<ShapeError>(x.rank() >= min_rank && x.numel() > 0,
                    "{}: x: expected at least {} dimensions, channels last, not empty, got {}", op, min_rank, x.shape());
  for (auto [what, t] : vectors)
    check<ShapeError>(!*t || t->shape() == Shape{x.size(-1)}, "{}: {}: expected [{}], got {}", op, what, x.size(-1),
                      *t ? t->shape() : Shape{});
  check_accumulated(op, x, vectors);
}

// The tail that batch, group and layer norm share: gradients of x, weight and bias by `op`'s backward kernel.
// first, second: mean and rstd, or the given mean and var.
template <template <class> class Backward, class Params>
void record_norm(const char* name, Op op, const Tensor& y, std::vector<Tensor> inputs, const Tensor& first, const Tensor& second,
                 const Params& p) {
  const Tensor x = inputs[0].detach(), weight = inputs[1] ? inputs[1].detach() : Tensor();
  const size_t count = inputs.size();
  record(name, y, std::move(inputs), [=](const Tensor& dy, const Needs& needs) {
    const auto vector = [&](bool needed) { return needed ? Tensor::empty({p.channels}, accumulated(x), x.device()) : Tensor(); };
    std::vector<Tensor> grads(count);
    grads[0] = needs[0] ? Tensor::empty_like(x) : Tensor();
    grads[1] = vector(needs[1]);
    grads[2] = vector(needs[2]);
    call<Backward>(op, Pass::backward, x, grads[0], grads[1], grads[2], dy, x, weight, first, second, p);
    return grads;
  });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                  bool training, double momentum, double eps) {
  check_channels("batch_norm", x, 2,
                 {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  const BatchNormParams p{x.numel() / x.size(-1), x.size(-1), eps, momentum};
  Tensor y = Tensor::empty_like(x);
  if (!training) {
    check<ShapeError>(running_mean && running_var,
                      "batch_norm: running_mean, running_var: expected [{}] when not training, got none", p.channels);
    check<Error>(!running_mean.requires_grad() && !running_var.requires_grad(), "batch_norm: running statistics take no gradient");
    call<BatchNormFrozenForward>(Op::batch_norm_frozen, Pass::forward, x, y, x, weight, bias, running_mean, running_var, p);
    // The statistics are inputs of the tape, so that their change before backward is found.
    record_norm<BatchNormFrozenBackward>("batch_norm_frozen", Op::batch_norm_frozen, y,
                                         {x, weight, bias, running_mean, running_var}, running_mean, running_var, p);
    return y;
  }
  check<ShapeError>(p.rows > 1, "batch_norm: x: expected more than one value per channel when training, got {}", x.shape());
  Tensor mean = Tensor::empty({p.channels}, accumulated(x), x.device()), rstd = Tensor::empty_like(mean);
  call<BatchNormForward>(Op::batch_norm, Pass::forward, x, y, mean, rstd, running_mean, running_var, x, weight, bias, p);
  if (running_mean) running_mean.bump_version();
  if (running_var) running_var.bump_version();
  record_norm<BatchNormBackward>("batch_norm", Op::batch_norm, y, {x, weight, bias}, mean, rstd, p);
  return y;
}

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, double eps) {
  check_channels("group_norm", x, 2, {{"weight", &weight}, {"bias", &bias}});
  check<ShapeError>(groups > 0 && x.size(-1) % groups == 0, "group_norm: groups: expected a divisor of {} channels, got {}",
                    x.size(-1), groups);
  const GroupNormParams p{x.size(0), x.shape().product(1, x.rank() - 1), x.size(-1), groups, eps};
  Tensor y = Tensor::empty_like(x), mean = Tensor::empty({p.batches, groups}, accumulated(x), x.device()),
         rstd = Tensor::empty_like(mean);
  call<GroupNormForward>(Op::group_norm, Pass::forward, x, y, mean, rstd, x, weight, bias, p);
  record_norm<GroupNormBackward>("group_norm", Op::group_norm, y, {x, weight, bias}, mean, rstd, p);
  return y;
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check<ShapeError>(x.rank() >= 2, "instance_norm: x: expected [N, .., C], got {}", x.shape());
  return group_norm(x, weight, bias, x.size(-1), eps);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_channels("layer_norm", x, 1, {{"weight", &weight}, {"bias", &bias}});
  const LayerNormParams p{x.numel() / x.size(-1), x.size(-1), eps};
  Tensor y = Tensor::empty_like(x), mean = Tensor::empty({p.rows}, accumulated(x), x.device()), rstd = Tensor::empty_like(mean);
  call<LayerNormForward>(Op::layer_norm, Pass::forward, x, y, mean, rstd, x, weight, bias, p);
  record_norm<LayerNormBackward>("layer_norm", Op::layer_norm, y, {x, weight, bias}, mean, rstd, p);
  return y;
}

Tensor lrn(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  check_channels("lrn", x, 1, {});
  check<ShapeError>(size > 0, "lrn: size: expected a positive number of channels, got {}", size);
  check<ConfigError>(k > 0 && alpha >= 0, "lrn: expected k > 0 and alpha >= 0, got {} and {}", k, alpha);
  const LrnParams p{x.numel() / x.size(-1), x.size(-1), size, alpha, beta, k};
  Tensor y = Tensor::empty_like(x);
  call<LrnForward>(Op::lrn, Pass::forward, x, y, x, p);
  record("lrn", y, {x}, [p, x = x.detach()](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty_like(x);
    call<LrnBackward>(Op::lrn, Pass::backward, x, dx, dy, x, p);
    return std::vector{dx};
  });
  return y;
}

}  // namespace graft
