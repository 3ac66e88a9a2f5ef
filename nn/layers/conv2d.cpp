#include "nn/layers/conv2d.h"

#include <limits>

namespace graft::nn {

Conv2d::Conv2d(int64_t in, int64_t out, int64_t kernel, ConvOptions options) : options_(options) {
  const int64_t groups = options.groups;
  check<ShapeError>(in > 0 && out > 0 && kernel > 0, "conv2d: expected positive sizes, got in {} out {} kernel {}", in, out,
                    kernel);
  check<ShapeError>(groups > 0 && in % groups == 0 && out % groups == 0, "conv2d: groups: expected a divisor of {} and {}, got {}",
                    in, out, groups);
  weight = Tensor::full({out, kernel, kernel, in / groups}, std::numeric_limits<double>::quiet_NaN());
  add_parameter("weight", weight);
  if (!options.bias) return;
  bias = Tensor::full({out}, std::numeric_limits<double>::quiet_NaN());
  add_parameter("bias", bias);
}

Tensor Conv2d::forward(const Tensor& x, Tensor* statistics) {
  const ConvOptions& o = options_;
  return conv2d(x, weight, bias, {o.stride, o.padding, o.dilation, o.groups, o.activation}, {}, statistics);
}

Shape Conv2d::output_shape(const Shape& x) const {
  const ConvOptions& o = options_;
  const int64_t in = weight.size(3) * o.groups, span = o.dilation * (weight.size(1) - 1) + 1;
  check<ShapeError>(x.rank() == 4 && x[3] == in, "conv2d: x: expected [N, H, W, {}], got {}", in, x);
  check<ShapeError>(x[1] + 2 * o.padding >= span && x[2] + 2 * o.padding >= span,
                    "conv2d: x: expected at least {} pixels a side with padding, got {}", span, x);
  return {x[0], (x[1] + 2 * o.padding - span) / o.stride + 1, (x[2] + 2 * o.padding - span) / o.stride + 1, weight.size(0)};
}

int64_t Conv2d::multiply_adds(const Shape& x) const { return output_shape(x).numel() * weight.shape().product(1, 4); }

void Conv2d::reset(Init init, uint64_t key, const std::string& path) {
  fill_weight(weight, init, options_.gaussian.std, Philox{stream_key(key, join_path(path, "weight")), 0});
  if (bias) bias.fill(init == Init::gaussian_2014 ? options_.gaussian.bias : 0);
}

}  // namespace graft::nn
