#include "tensor/ops/norm.h"

#include "kernels/norm/norm.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"
#include "tensor/ops/activation.h"

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

Tensor detached(const Tensor& t) { return t ? t.detach() : Tensor(); }

// [channels], or undefined.
Tensor parameter_gradient(bool needed, const Tensor& x) {
  return needed ? Tensor::empty({x.size(-1)}, accumulated(x), x.device()) : Tensor();
}

// The tail that group and layer norm share: gradients of x, weight and bias by `op`'s backward kernel.
template <template <class> class Backward, class Params>
void record_norm(const char* name, Op op, const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias,
                 const Tensor& mean, const Tensor& rstd, const Params& p) {
  record(name, y, {x, weight, bias}, [=, x = x.detach(), weight = detached(weight)](const Tensor& dy, const Needs& needs) {
    const Tensor dx = needs[0] ? Tensor::empty_like(x) : Tensor(), dweight = parameter_gradient(needs[1], x),
                 dbias = parameter_gradient(needs[2], x);
    if constexpr (std::is_same_v<Params, LayerNormParams>) {  // a residual sum hands its gradient to its input before the norm does
      const Tensor others = needs[0] ? needs.take(0) : Tensor();
      call<Backward>(op, Pass::backward, x, dx, dweight, dbias, dy, x, weight, mean, rstd, others, p);
    } else {
      call<Backward>(op, Pass::backward, x, dx, dweight, dbias, dy, x, weight, mean, rstd, p);
    }
    return std::vector{dx, dweight, dbias};
  });
}

// The same of batch_norm and batch_norm_frozen, whose residual is the input behind the bias. first, second: mean and rstd, or the
// given mean and var, which then follow as inputs of the tape, so that their change before backward is found.
template <template <class> class Backward>
void record_batch_norm(const char* name, Op op, const Tensor& y, std::vector<Tensor> inputs, const Tensor& first,
                       const Tensor& second, const BatchNormParams& p) {
  const bool relu = p.activation == Activation::relu;
  const Tensor x = inputs[0].detach(), weight = detached(inputs[1]), saved_y = relu ? y.detach() : Tensor();
  const size_t count = inputs.size();
  record(name, y, std::move(inputs), [=](const Tensor& dy, const Needs& needs) {
    std::vector<Tensor> grads(count);
    grads[0] = needs[0] ? Tensor::empty_like(x) : Tensor();
    grads[1] = parameter_gradient(needs[1], x);
    grads[2] = parameter_gradient(needs[2], x);
    const Tensor dresidual = needs[3] && relu ? Tensor::empty_like(x) : Tensor();
    if (grads[0] || grads[1] || grads[2] || dresidual)
      call<Backward>(op, Pass::backward, x, grads[0], grads[1], grads[2], dresidual, dy, x, saved_y, weight, first, second, p);
    if (needs[3]) grads[3] = relu ? dresidual : dy;
    return grads;
  });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                  bool training, const BatchNormOptions& options, const Tensor& residual, const Tensor& statistics) {
  check_channels("batch_norm", x, 2,
                 {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  check<ShapeError>(!residual || residual.shape() == x.shape(), "batch_norm: residual: expected {}, got {}", x.shape(),
                    residual ? residual.shape() : Shape{});
  check_same("batch_norm", x, {{"residual", &residual}});
  check<ConfigError>(training || !statistics, "batch_norm: statistics: expected none when not training");
  check<ShapeError>(!statistics || statistics.shape() == Shape{2, x.size(-1)}, "batch_norm: statistics: expected [2, {}], got {}",
                    x.size(-1), statistics ? statistics.shape() : Shape{});
  check_accumulated("batch_norm", x, {{"statistics", &statistics}});
  if (options.activation != Activation::none && options.activation != Activation::relu) {
    BatchNormOptions linear = options;
    linear.activation = Activation::none;
    return activation(batch_norm(x, weight, bias, running_mean, running_var, training, linear, residual, statistics),
                      options.activation);
  }
  const BatchNormParams p{x.numel() / x.size(-1), x.size(-1), options.eps, options.momentum, options.activation};
  Tensor y = Tensor::empty_like(x);
  if (!training) {
    check<ShapeError>(running_mean && running_var,
                      "batch_norm: running_mean, running_var: expected [{}] when not training, got none", p.channels);
    check<Error>(!running_mean.requires_grad() && !running_var.requires_grad(), "batch_norm: running statistics take no gradient");
    call<BatchNormFrozenForward>(Op::batch_norm_frozen, Pass::forward, x, y, x, weight, bias, running_mean, running_var, residual,
                                 p);
    record_batch_norm<BatchNormFrozenBackward>("batch_norm_frozen", Op::batch_norm_frozen, y,
                                               {x, weight, bias, residual, running_mean, running_var}, running_mean, running_var,
                                               p);
    return y;
  }
  check<ShapeError>(p.rows > 1, "batch_norm: x: expected more than one value per channel when training, got {}", x.shape());
  Tensor mean = Tensor::empty({p.channels}, accumulated(x), x.device()), rstd = Tensor::empty_like(mean);
  call<BatchNormForward>(Op::batch_norm, Pass::forward, x, y, mean, rstd, running_mean, running_var, x, weight, bias, residual,
                         statistics, p);
  if (running_mean) running_mean.bump_version();
  if (running_var) running_var.bump_version();
  record_batch_norm<BatchNormBackward>("batch_norm", Op::batch_norm, y, {x, weight, bias, residual}, mean, rstd, p);
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
  record_norm<GroupNormBackward>("group_norm", Op::group_norm, y, x, weight, bias, mean, rstd, p);
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
  record_norm<LayerNormBackward>("layer_norm", Op::layer_norm, y, x, weight, bias, mean, rstd, p);
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
