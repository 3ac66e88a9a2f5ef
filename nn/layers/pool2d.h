// Pooling of NHWC images.
#pragma once
#include "nn/module.h"
#include "tensor/ops/pool2d.h"

namespace graft::nn {

class Pool2d : public Module {
 public:
  Shape output_shape(const Shape& x) const override;

 protected:
  explicit Pool2d(Pool2dOptions options) : options_(options) {}
  Pool2dOptions options_;
};

class MaxPool2d : public Pool2d {
 public:
  explicit MaxPool2d(Pool2dOptions options) : Pool2d(options) {}
  Tensor forward(const Tensor& x) override { return max_pool2d(x, options_); }
};

class AvgPool2d : public Pool2d {
 public:
  explicit AvgPool2d(Pool2dOptions options) : Pool2d(options) {}
  Tensor forward(const Tensor& x) override { return avg_pool2d(x, options_); }
};

// x[N, H, W, C] -> [N, C]
class GlobalAvgPool2d : public Module {
 public:
  Tensor forward(const Tensor& x) override { return global_avg_pool2d(x); }
  Shape output_shape(const Shape& x) const override;
};

}  // namespace graft::nn
