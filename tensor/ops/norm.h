// Normalisation layers. weight and bias may be undefined (1 and 0). y = (x - mean) / sqrt(var + eps) weight + bias,
// var biased; only what mean and var run over differs. With x in bf16, weight, bias and running statistics are f32.
#pragma once
#include "kernels/elementwise/activation.h"
#include "tensor/tensor.h"

namespace graft {

struct BatchNormOptions {
  double momentum = 0.1, eps = 1e-5;
  Activation activation = Activation::none;
};

// f(y + residual): x[.., C]; weight, bias, running_mean, running_var [C] (Ioffe & Szegedy 2015); a residual like x, or none.
// training: mean and var over all but the last dimension, which needs at least two values a channel (ShapeError);
//   running = (1 - momentum) running + momentum batch, in place, with the unbiased variance; running_* may be
//   undefined.
// otherwise (evaluation, and frozen layers of a net in training): mean and var are running_mean and running_var, which
//   never change.
// statistics[2, C]: mean and biased variance of x as conv2d has made them, which training then does not compute again; none in
//   evaluation (ConfigError). The gradient is that of x with its statistics, as ever.
// Differentiable in x, weight, bias and residual. The sum and relu are computed inside the kernel, other activations follow as an
// op; on cpu the bits are those of batch_norm, add and relu one after another.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                  bool training, const BatchNormOptions& options = {}, const Tensor& residual = {}, const Tensor& statistics = {});

// x[N, .., C], groups divides C: over all of one sample's values in one group of C / groups channels (Wu & He 2018).
Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, double eps = 1e-5);
// group_norm with groups = C (Ulyanov et al. 2016).
Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

// x[.., C], weight, bias [C]: over the last dimension (Ba et al. 2016).
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

// x[.., C]: y_c = x_c / (k + alpha / size sum_{j = c - size/2}^{c + (size-1)/2} x_j^2)^beta, channels outside are zero
// (Krizhevsky et al. 2012, with alpha divided by size as Caffe and PyTorch do).
// k > 0, alpha >= 0 (ConfigError).
Tensor lrn(const Tensor& x, int64_t size, double alpha = 1e-4, double beta = 0.75, double k = 1);

}  // namespace graft
