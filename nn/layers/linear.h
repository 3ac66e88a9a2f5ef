// Fully connected layer: y = f(x weight^T + bias).
#pragma once
#include "nn/init.h"
#include "tensor/ops/linear.h"

namespace graft::nn {

struct LinearOptions {
  bool bias = true;
  Activation activation = Activation::none;
  Gaussian2014 gaussian{0.005, 1};  // CaffeNet's hidden layers
  // [H, W, C]: the layer takes such images, x[N, H, W, C], and flattens them. A loader needs it: PyTorch and Caffe flatten
  // C, H, W, so the columns of a weight stored by them are permuted.
  Shape image = {};
};

class Linear : public Module {
 public:
  // x[.., in] -> [.., out], or, with options.image, x[N, H, W, C] -> [N, out] where in = H W C (ShapeError otherwise).
  Linear(int64_t in, int64_t out, LinearOptions options = {});

  Tensor forward(const Tensor& x) override;
  // residual + forward(x), the sum in the product's kernel. ConfigError with an activation.
  Tensor forward_onto(const Tensor& residual, const Tensor& x);
  Shape output_shape(const Shape& x) const override;
  int64_t multiply_adds(const Shape& x) const override;
  const LinearOptions& options() const { return options_; }

  Tensor weight;  // [out, in]
  Tensor bias;    // [out], undefined without

 private:
  void reset(Init, uint64_t key, const std::string& path) override;
  LinearOptions options_;
};

}  // namespace graft::nn
