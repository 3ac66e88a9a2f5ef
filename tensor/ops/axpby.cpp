#include "tensor/ops/axpby.h"

#include "kernels/elementwise/axpby.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

void axpby_inplace(const Tensor& y, const Tensor& x, double a, double b) {
  check<ShapeError>(y.shape() == x.shape(), "axpby: x: expected {}, got {}", y.shape(), x.shape());
  check_same("axpby", y, {{"x", &x}});
  call<AxpbyForward>(Op::axpby, Pass::forward, y, y, x, AxpbyParams{a, b, y.numel()});
  y.bump_version();
}

Tensor scale(const Tensor& x, double factor) {
  Tensor y = Tensor::empty_like(x);
  call<AxpbyForward>(Op::axpby, Pass::forward, x, y, x, AxpbyParams{factor, 0, x.numel()});
  record("scale", y, {x}, [factor](const Tensor& dy, const Needs&) { return std::vector{scale(dy, factor)}; });
  return y;
}

}  // namespace graft
