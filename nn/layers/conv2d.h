// 2-D convolution of NHWC images with square filters: y = f(x * weight + bias).
#pragma once
#include "nn/init.h"
#include "tensor/ops/conv2d.h"

namespace graft::nn {

struct ConvOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  Activation activation = Activation::none;
  bool bias = true;
  Gaussian2014 gaussian{0.01, 0};  // CaffeNet's conv1 and conv3; the bias is 1 in conv2, conv4, conv5
};

class Conv2d : public Module {
 public:
  // x[N, H, W, in] -> [N, OH, OW, out]; groups divides in and out (ShapeError).
  Conv2d(int64_t in, int64_t out, int64_t kernel, ConvOptions options = {});

  Tensor forward(const Tensor& x) override { return forward(x, nullptr); }
  Tensor forward(const Tensor& x, Tensor* statistics);  // of y, for the norm behind it (tensor/ops/conv2d.h)
  Shape output_shape(const Shape& x) const override;
  int64_t multiply_adds(const Shape& x) const override;
  const ConvOptions& options() const { return options_; }

  Tensor weight;  // [out, kernel, kernel, in / groups]
  Tensor bias;    // [out], undefined without

 private:
  void reset(Init, uint64_t key, const std::string& path) override;
  ConvOptions options_;
};

}  // namespace graft::nn
