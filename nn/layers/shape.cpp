#include "nn/layers/shape.h"

#include "tensor/ops/view.h"

namespace graft::nn {

Tensor Flatten::forward(const Tensor& x) { return flatten(x); }

Tensor FirstToken::forward(const Tensor& x) { return reshape(slice(x, 1, 0, 1), output_shape(x.shape())); }

Shape FirstToken::output_shape(const Shape& x) const {
  check<ShapeError>(x.rank() == 3 && x[1] > 0, "first token: x: expected [N, T, C] with a token, got {}", x);
  return {x[0], x[2]};
}

Tensor PadChannels::forward(const Tensor& x) {
  const auto zero_channels = [&](int64_t n) {
    Shape s = x.shape();
    s.set(-1, n);
    return Tensor::zeros(s, x.dtype(), x.device());
  };
  std::vector<Tensor> parts{x};
  if (before_) parts.insert(parts.begin(), zero_channels(before_));
  if (after_) parts.push_back(zero_channels(after_));
  return parts.size() == 1 ? x : concat(parts, x.rank() - 1);
}

Shape PadChannels::output_shape(const Shape& x) const {
  Shape y = x;
  y.set(-1, before_ + x[-1] + after_);
  return y;
}

}  // namespace graft::nn
