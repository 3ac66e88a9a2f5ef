#include "nn/layers/linear.h"

#include <limits>

#include "tensor/ops/view.h"

namespace graft::nn {

Linear::Linear(int64_t in, int64_t out, LinearOptions options) : options_(options) {
  check<ShapeError>(in > 0 && out > 0, "linear: expected positive sizes, got in {} out {}", in, out);
  check<ShapeError>(options.image.rank() == 0 || options.image.numel() == in, "linear: image: expected {} values, got {}", in,
                    options.image);
  weight = Tensor::full({out, in}, std::numeric_limits<double>::quiet_NaN());
  add_parameter("weight", weight);
  if (!options.bias) return;
  bias = Tensor::full({out}, std::numeric_limits<double>::quiet_NaN());
  add_parameter("bias", bias);
}

Tensor Linear::forward(const Tensor& x) { return forward_onto({}, x); }

Tensor Linear::forward_onto(const Tensor& residual, const Tensor& x) {
  output_shape(x.shape());
  return linear(options_.image.rank() ? flatten(x) : x, weight, bias, options_.activation, residual);
}

Shape Linear::output_shape(const Shape& x) const {
  const int64_t in = weight.size(1), out = weight.size(0);
  if (options_.image.rank()) {
    check<ShapeError>(x.rank() == 4 && Shape(std::span(x.begin() + 1, x.end())) == options_.image,
                      "linear: x: expected [N, H, W, C] with images of {}, got {}", options_.image, x);
    return {x[0], out};
  }
  check<ShapeError>(x.rank() >= 1 && x[-1] == in, "linear: x: expected [.., {}], got {}", in, x);
  Shape y = x;
  y.set(-1, out);
  return y;
}

int64_t Linear::multiply_adds(const Shape& x) const { return output_shape(x).numel() * weight.size(1); }

void Linear::reset(Init init, uint64_t key, const std::string& path) {
  fill_weight(weight, init, options_.gaussian.std, Philox{stream_key(key, join_path(path, "weight")), 0});
  if (bias) bias.fill(init == Init::gaussian_2014 ? options_.gaussian.bias : 0);
}

}  // namespace graft::nn
