#include "nn/layers/conv_norm.h"

namespace graft::nn {
namespace {

ConvOptions without_bias(ConvOptions options) {
  options.bias = false;
  return options;
}

}  // namespace

ConvNorm::ConvNorm(const std::string& conv_name, const std::string& norm_name, int64_t in, int64_t out, int64_t kernel,
                   ConvOptions options, Activation f)
    : conv(in, out, kernel, without_bias(options)), norm(out, {.activation = f}) {
  add_child(conv_name, conv);
  add_child(norm_name, norm);
}

Tensor ConvNorm::forward(const Tensor& x, const Tensor& residual) {
  Tensor statistics;
  const Tensor y = conv.forward(x, norm.learns() ? &statistics : nullptr);
  return norm.forward(y, residual, statistics);
}

}  // namespace graft::nn
