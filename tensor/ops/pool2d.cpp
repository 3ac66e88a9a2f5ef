#include "tensor/ops/pool2d.h"

#include "kernels/pool2d/pool2d.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

Pool2dParams pool2d_params(const char* op, const Tensor& x, const Pool2dOptions& o) {
  check<ShapeError>(x.rank() == 4, "{}: x: expected [N, H, W, C], got {}", op, x.shape());
  check<ShapeError>(o.kernel > 0 && o.stride >= 0, "{}: expected kernel > 0 and stride >= 0, got {} and {}", op, o.kernel,
                    o.stride);
  check<ShapeError>(o.padding >= 0 && o.padding <= o.kernel / 2, "{}: padding: expected 0 to kernel / 2 = {}, got {}", op,
                    o.kernel / 2, o.padding);
  Pool2dParams p{x.size(0), x.size(1), x.size(2), x.size(3), 0, 0, o.kernel, o.kernel, o.stride ? o.stride : o.kernel, o.padding};
  p.oh = pooled_size(p.h, p.kh, p.stride, p.padding, o.ceil_mode);
  p.ow = pooled_size(p.w, p.kw, p.stride, p.padding, o.ceil_mode);
  check<ShapeError>(p.oh > 0 && p.ow > 0, "{}: x: expected an image of at least {} x {} with padding {}, got {}", op, p.kh, p.kw,
                    p.padding, x.shape());
  return p;
}

Tensor average(const char* op, const Tensor& x, const Pool2dParams& p, Shape output) {
  Tensor y = Tensor::empty(output, x.dtype(), x.device());
  call<AvgPool2dForward>(Op::avg_pool2d, Pass::forward, x, y, x, p);
  record(op, y, {x}, [p, shape = x.shape()](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
    call<AvgPool2dBackward>(Op::avg_pool2d, Pass::backward, dy, dx, dy, p);
    return std::vector{dx};
  });
  return y;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options) {
  const Pool2dParams p = pool2d_params("max_pool2d", x, options);
  const Shape output{p.n, p.oh, p.ow, p.c};
  Tensor y = Tensor::empty(output, x.dtype(), x.device());
  Tensor tap;
  if (grad_enabled() && x.requires_grad()) tap = Tensor::empty(output, DType::i32, x.device());
  call<MaxPool2dForward>(Op::max_pool2d, Pass::forward, x, y, tap, x, p);
  record("max_pool2d", y, {x}, [p, tap, shape = x.shape()](const Tensor& dy, const Needs&) {
    Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
    call<MaxPool2dBackward>(Op::max_pool2d, Pass::backward, dy, dx, dy, tap, p);
    return std::vector{dx};
  });
  return y;
}

Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options) {
  const Pool2dParams p = pool2d_params("avg_pool2d", x, options);
  return average("avg_pool2d", x, p, {p.n, p.oh, p.ow, p.c});
}

Tensor global_avg_pool2d(const Tensor& x) {
  check<ShapeError>(x.rank() == 4 && x.size(1) > 0 && x.size(2) > 0, "global_avg_pool2d: x: expected [N, H, W, C], got {}",
                    x.shape());
  const Pool2dParams p{x.size(0), x.size(1), x.size(2), x.size(3), 1, 1, x.size(1), x.size(2), 1, 0};
  return average("global_avg_pool2d", x, p, {p.n, p.c});
}

}  // namespace graft
