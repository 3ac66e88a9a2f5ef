#include "tensor/ops/loss.h"

#include "kernels/loss/loss.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  check<ShapeError>(logits.rank() == 2 && logits.numel() > 0, "cross_entropy: logits: expected [N, C], not empty, got {}",
                    logits.shape());
  check<ShapeError>(labels.shape() == Shape{logits.size(0)}, "cross_entropy: labels: expected [{}], got {}", logits.size(0),
                    labels.shape());
  check<DtypeError>(labels.dtype() == DType::i64, "cross_entropy: labels: expected i64, got {}", name(labels.dtype()));
  check<ConfigError>(label_smoothing >= 0 && label_smoothing <= 1, "cross_entropy: label_smoothing: expected 0 to 1, got {}",
                     label_smoothing);
  const CrossEntropyParams p{logits.size(0), logits.size(1), label_smoothing};
  Tensor loss = Tensor::empty({1}, logits.dtype(), logits.device());
  Tensor normaliser = Tensor::empty({p.n, 2}, logits.dtype(), logits.device());
  call<CrossEntropyForward>(Op::cross_entropy, Pass::forward, logits, loss, normaliser, logits, labels, p);
  record("cross_entropy", loss, {logits, labels}, [p, normaliser, labels, x = logits.detach()](const Tensor& dloss, const Needs&) {
    Tensor dx = Tensor::empty_like(x);
    call<CrossEntropyBackward>(Op::cross_entropy, Pass::backward, x, dx, dloss, x, normaliser, labels, p);
    return std::vector{dx, Tensor()};
  });
  return loss;
}

Tensor mse(const Tensor& x, const Tensor& target) {
  check<ShapeError>(x.shape() == target.shape() && x.numel() > 0, "mse: target: expected {}, not empty, got {}", x.shape(),
                    target.shape());
  check_same("mse", x, {{"target", &target}});
  const MseParams p{x.numel()};
  Tensor loss = Tensor::empty({1}, x.dtype(), x.device());
  call<MseForward>(Op::mse, Pass::forward, x, loss, x, target, p);
  record("mse", loss, {x, target}, [p, x = x.detach(), target = target.detach()](const Tensor& dloss, const Needs& needs) {
    Tensor dx = needs[0] ? Tensor::empty_like(x) : Tensor();
    Tensor dtarget = needs[1] ? Tensor::empty_like(x) : Tensor();
    call<MseBackward>(Op::mse, Pass::backward, x, dx, dtarget, dloss, x, target, p);
    return std::vector{dx, dtarget};
  });
  return loss;
}

}  // namespace graft
