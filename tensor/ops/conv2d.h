#pragma once
#include "kernels/elementwise/activation.h"
#include "tensor/tensor.h"

namespace graft {

struct Conv2dOptions {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;  // both directions alike; padding in pixels, of zeros
  Activation activation = Activation::none;
};

// y[N, OH, OW, Cout] = f(x[N, H, W, Cin] * weight[Cout, kh, kw, Cin / groups] + bias[Cout]); an undefined bias is none.
// OH = (H + 2 padding - dilation (kh - 1) - 1) / stride + 1, rounded down; at least 1 or ShapeError. Differentiable in all
// three. groups = Cin = Cout runs depthwise_conv2d. relu is computed inside the kernel, other activations follow as an op.
// A residual like y, where there is one, is added before f (inside the kernel, but for depthwise_conv2d); differentiable.
// statistics, where the caller has a place for them: [2, Cout], mean and biased variance of the channels of y, for batch_norm; left
// undefined where they are not to be had for next to nothing. In bf16 the kernel sums while it stores y.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {},
              const Tensor& residual = {}, Tensor* statistics = nullptr);

}  // namespace graft
