#include "tensor/ops/fracdiff.h"

#include <cmath>

#include "kernels/fracdiff/fracdiff.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor fracdiff(const Tensor& x, double d, FracdiffOptions o) {
  check<ShapeError>(x.rank() >= 1 && x.size(-1) > 0, "fracdiff: x: expected [.., T] with T > 0, got {}", x.shape());
  check<ConfigError>(std::isfinite(d), "fracdiff: d: expected a finite order, got {}", d);
  check<ConfigError>(o.floor >= 0 && o.window >= 0, "fracdiff: expected floor >= 0 and window >= 0, got {} and {}", o.floor,
                     o.window);
  const int64_t length = x.size(-1), limit = o.window ? std::min(o.window, length) : length;
  const std::vector<double> w = fracdiff_weights(d, limit, o.floor);
  const FracdiffParams p{x.numel() / length, length, int64_t(w.size())};
  const DType exact = x.dtype() == DType::f64 ? DType::f64 : DType::f32;  // the tail of a filter is below bf16's steps
  const Tensor weights = Tensor::from(std::span<const double>(w), {p.window}).to(exact).to(x.device());
  Tensor y = Tensor::empty_like(x);
  call<FracdiffForward>(Op::fracdiff, Pass::forward, x, y, x, weights, p);
  record("fracdiff", y, {x}, [p, weights](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty_like(dy);
    call<FracdiffBackward>(Op::fracdiff, Pass::backward, dy, dx, dy, weights, p);
    return std::vector{dx};
  });
  return y;
}

}  // namespace graft
