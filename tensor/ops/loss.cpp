#include "tensor/ops/loss.h"

#include "kernels/loss/cross_entropy_inplace.h"
#include "kernels/loss/loss.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"
#include "tensor/ops/linear.h"
#include "tensor/ops/view.h"

namespace graft {

namespace {

CrossEntropyParams checked(const char* op, const Tensor& logits, const Tensor& labels, double label_smoothing,
                           int64_t padding = 0) {
  check<ShapeError>(logits.rank() >= 2 && logits.numel() > 0, "{}: logits: expected [.., C], not empty, got {}", op,
                    logits.shape());
  check<ShapeError>(padding >= 0 && padding < logits.size(-1), "{}: padding: expected 0 to {}, got {}", op, logits.size(-1) - 1,
                    padding);
  const int64_t classes = logits.size(-1) - padding, rows = logits.numel() / logits.size(-1);
  check<ShapeError>(labels.shape() == Shape{rows}, "{}: labels: expected [{}], got {}", op, rows, labels.shape());
  check<DtypeError>(labels.dtype() == DType::i64, "{}: labels: expected i64, got {}", op, name(labels.dtype()));
  check<ConfigError>(label_smoothing >= 0 && label_smoothing <= 1, "{}: label_smoothing: expected 0 to 1, got {}", op,
                     label_smoothing);
  return {rows, classes, label_smoothing, padding};
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

Tensor cross_entropy_inplace(const Tensor& logits, const Tensor& labels, double label_smoothing, int64_t padding) {
  const CrossEntropyParams p = checked("cross_entropy_inplace", logits, labels, label_smoothing, padding);
  Tensor loss = Tensor::empty({1}, accumulated(logits), logits.device());
  call<CrossEntropyInplaceForward>(Op::cross_entropy_inplace, Pass::forward, logits, loss, logits, labels, p);
  logits.bump_version();
  record("cross_entropy_inplace", loss, {logits, labels}, [p, dx = logits.detach()](const Tensor& dloss, const Needs&) {
    call<CrossEntropyInplaceBackward>(Op::cross_entropy_inplace, Pass::backward, dx, dx, dloss, p);
    return std::vector{dx, Tensor()};
  });
  return loss;
}

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& labels, double label_smoothing) {
  const int64_t unit = 16 / int64_t(dtype_size(x.dtype())), over = weight.rank() == 2 ? weight.size(0) % unit : 0;
  if (x.device().backend == Backend::cpu || over == 0) return cross_entropy_inplace(linear(x, weight), labels, label_smoothing);
  const Tensor zeros = Tensor::zeros({unit - over, weight.size(1)}, weight.dtype(), weight.device());
  return cross_entropy_inplace(linear(x, concat({weight, zeros}, 0)), labels, label_smoothing, unit - over);
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
