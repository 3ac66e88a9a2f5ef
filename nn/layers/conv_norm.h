// A convolution without bias and the batch norm behind it: y = f(norm(x * weight) + residual). Where the norm learns, the
// convolution hands it the statistics that it makes while it stores its result.
#pragma once
#include "nn/layers/conv2d.h"
#include "nn/layers/norm.h"

namespace graft::nn {

class ConvNorm : public Module {
 public:
  // Both are found under the names given, as children of whatever holds this under the empty path.
  ConvNorm(const std::string& conv_name, const std::string& norm_name, int64_t in, int64_t out, int64_t kernel, ConvOptions options,
           Activation f = Activation::none);

  Tensor forward(const Tensor& x) override { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& residual);
  Shape output_shape(const Shape& x) const override { return conv.output_shape(x); }
  int64_t multiply_adds(const Shape& x) const override { return conv.multiply_adds(x); }

  Conv2d conv;
  BatchNorm2d norm;
};

}  // namespace graft::nn
