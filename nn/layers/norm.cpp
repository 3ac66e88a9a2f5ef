#include "nn/layers/norm.h"

namespace graft::nn {

NormLayer::NormLayer(int64_t channels, double eps)
    : weight(Tensor::full({channels}, 1)), bias(Tensor::zeros({channels})), eps_(eps) {
  add_parameter("weight", weight);
  add_parameter("bias", bias);
}

void NormLayer::reset(Init, uint64_t, const std::string&) {
  weight.fill(1);
  bias.fill(0);
}

BatchNorm2d::BatchNorm2d(int64_t channels, BatchNormOptions options)
    : NormLayer(channels, options.eps),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::full({channels}, 1)),
      options_(options) {
  add_buffer("running_mean", running_mean);
  add_buffer("running_var", running_var);
}

void BatchNorm2d::reset(Init init, uint64_t key, const std::string& path) {
  NormLayer::reset(init, key, path);
  running_mean.fill(0);
  running_var.fill(1);
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : NormLayer(channels, eps), groups_(groups) {
  check<ShapeError>(groups > 0 && channels % groups == 0, "group_norm: groups: expected a divisor of {}, got {}", channels, groups);
}

}  // namespace graft::nn
