#include "tensor/ops/loss.h"

#include "kernels/loss/cross_entropy_inplace.h"
#include "kernels/loss/loss.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

namespace {

CrossEntropyParams checked(const char* op, const Tensor& logits, const Tensor& labels, double label_smoothing) {
  check<ShapeError>(logits.rank() >= 2 && logits.numel() > 0, "{}: logits: expected [.., C], not empty, got {}", op,
                    logits.shape());
  const int64_t classes = logits.size(-1), rows = logits.numel() / classes;
  check<ShapeError>(labels.shape() == Shape{rows}, "{}: labels: expected [{}], got {}", op, rows, labels.shape());
  check<DtypeError>(labels.dtype() == DType::i64, "{}: labels: expected i64, got {}", op, name(labels.dtype()));
  check<ConfigError>(label_smoothing >= 0 && label_smoothing <= 1, "{}: label_smoothing: expected 0 to 1, got {}", op,
                     label_smoothing);
  return {rows, classes, label_smoothing};
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  const CrossEntropyParams p = checked("cross_entropy", logits, labels, label_smoothing);
  Tensor loss = Tensor::empty({1}, accumulated(logits), logits.device());
  Tensor normaliser = Tensor::empty({p.n, 2}, accumulated(logits), logits.device());
  call<CrossEntropyForward>(Op::cross_entropy, Pass::forward, logits, loss, normaliser, logits, labels, p);
  record("cross_entropy", loss, {logits, labels}, [p, normaliser, labels, x = logits.detach()](const Tensor& dloss, const Needs&) {
    Tensor dx = Tensor::empty_like(x);
    call<CrossEntropyBackward>(Op::cross_entropy, Pass::backward, x, dx, dloss, x, normaliser, labels, p);
    return std::vector{dx, Tensor()};
  });
  return loss;
}

Tensor cross_entropy_inplace(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  const CrossEntropyParams p = checked("cross_entropy_inplace", logits, labels, label_smoothing);
  Tensor loss = Tensor::empty({1}, accumulated(logits), logits.device());
  call<CrossEntropyInplaceForward>(Op::cross_entropy_inplace, Pass::forward, logits, loss, logits, labels, p);
  logits.bump_version();
  record("cross_entropy_inplace", loss, {logits, labels}, [p, dx = logits.detach()](const Tensor& dloss, const Needs&) {
    call<CrossEntropyInplaceBackward>(Op::cross_entropy_inplace, Pass::backward, dx, dx, dloss, p);
    return std::vector{dx, Tensor()};
  });
  return loss;
}

Tensor mse(const Tensor& x, const Tensor& target) {
  check<ShapeError>(x.shape() == target.shape() && x.numel() > 0, "mse: target: expected {}, not empty, got {}", x.shape(),
                    target.shape());
  check_same("mse", x, {{"target", &target}});
  const MseParams p{x.numel()};
  Tensor loss = Tensor::empty({1}, accumulated(x), x.device());
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
