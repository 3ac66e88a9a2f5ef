#include "bench/suites/walk.h"

#include <cmath>
#include <utility>

namespace graft::bench {

using namespace harness;

void Walk::sgd() {
  if (training()) add_sgd(Tier::bench, parameters_, 0.9, false);
}
void Walk::adamw() {
  if (training()) add_adamw(Tier::bench, parameters_, 10);
}

void Walk::linear_rows(int64_t rows, int64_t in, int64_t out, Activation f, Bias bias) {
  add_linear(Tier::bench, {rows, in, out, f}, bias);
  parameter(in * out);
  if (bias == Bias::present) parameter(out);
}

void Walk::activation_of(Activation f, int64_t n) {
  if (f != Activation::none) add_activation(Tier::bench, {f, n});
}

void Walk::loss(int64_t rows, int64_t classes) {
  if (training()) add_cross_entropy(Tier::bench, {rows, classes, 0});
  else add_softmax(Op::softmax, Tier::bench, {rows, classes});
}

void ImageWalk::convolve(int64_t out, int64_t kernel, Activation f, ConvOptions o, Bias bias) {
  const int64_t padding = o.padding < 0 ? kernel / 2 : o.padding;
  Conv2dParams p{batch_, h_, h_, c_, out, kernel, kernel, o.stride, padding};
  p.groups = o.depthwise ? c_ : 1;
  p.activation = f;
  add_conv2d(o.depthwise ? Op::depthwise_conv2d : Op::conv2d, Tier::bench, p, bias);
  parameter(out * kernel * kernel * c_ / p.groups);
  if (bias == Bias::present) parameter(out);
  h_ = p.out_h(), c_ = out;
}

void ImageWalk::conv(int64_t out, int64_t kernel, Activation f, ConvOptions o) { convolve(out, kernel, f, o, Bias::present); }

void ImageWalk::conv_norm(int64_t out, int64_t kernel, Activation f, ConvOptions o) {
  if (!training()) {
    const bool fused = f == Activation::none || f == Activation::relu;
    convolve(out, kernel, fused ? f : Activation::none, o, Bias::present);
    if (!fused) activation_of(f, pixels() * c_);
    return;
  }
  convolve(out, kernel, Activation::none, o, Bias::absent);
  batch_norm(f, Residual::absent);
}

void ImageWalk::conv_norm_add(int64_t out, int64_t kernel, Activation f) {
  if (!training()) {
    conv_norm(out, kernel, Activation::none);
    return add(f);
  }
  convolve(out, kernel, Activation::none, {}, Bias::absent);
  batch_norm(f, Residual::present);
}

// The norm takes relu with it, others follow.
void ImageWalk::batch_norm(Activation f, Residual residual) {
  const bool fused = f == Activation::none || f == Activation::relu;
  add_batch_norm(Tier::bench, pixels(), c_, Affine::yes, fused ? f : Activation::none, residual);
  parameter(c_), parameter(c_);
  if (!fused) activation_of(f, pixels() * c_);
}

void ImageWalk::shortcut(int64_t in_side, int64_t in, int64_t kernel, ConvOptions o) {
  const auto here = std::pair(h_, c_);
  h_ = in_side, c_ = in;
  conv_norm(here.second, kernel, Activation::none, o);
  std::tie(h_, c_) = here;
}

void ImageWalk::add(Activation f) {
  add_sum(Tier::bench, pixels() * c_);
  activation_of(f, pixels() * c_);
}

void ImageWalk::squeeze_excite(int64_t squeezed) {
  add_avg_pool2d(Tier::bench, batch_, h_, h_, c_, h_, h_, 0);
  linear_rows(batch_, c_, squeezed);
  activation_of(Activation::silu, batch_ * squeezed);
  linear_rows(batch_, squeezed, c_);
  activation_of(Activation::sigmoid, batch_ * c_);
  add_channel_scale(Tier::bench, batch_, h_ * h_, c_);
}

void ImageWalk::max_pool(int64_t kernel, int64_t stride, int64_t padding) {
  add_max_pool2d(Tier::bench, batch_, h_, h_, c_, kernel, stride, padding);
  h_ = pooled_size(h_, kernel, stride, padding, false);
}

void ImageWalk::global_average() {
  add_avg_pool2d(Tier::bench, batch_, h_, h_, c_, h_, h_, 0);
  h_ = 1;
}

void ImageWalk::linear(int64_t out, Activation f) {
  linear_rows(batch_, h_ * h_ * c_, out, f);
  h_ = 1, c_ = out;
}

void TokenWalk::embedding(int64_t vocabulary) {
  add_embedding(Tier::bench, {rows(), vocabulary, d_});
  parameter(vocabulary * d_);
}

void TokenWalk::norm() {
  add_layer_norm(Tier::bench, rows(), d_, Affine::yes);
  parameter(d_), parameter(d_);
}

void TokenWalk::block(int64_t heads, Activation f, bool causal, Padding padding, int64_t keys) {
  const int64_t dim = d_ / heads;
  norm();
  linear_rows(rows(), d_, 3 * d_);
  add_attention(Tier::bench, {batch_, tokens_, keys ? keys : tokens_, heads, heads, dim, 1 / std::sqrt(double(dim)), causal},
                padding);
  linear_rows(rows(), d_, d_);
  add_sum(Tier::bench, rows() * d_);
  norm();
  linear_rows(rows(), d_, 4 * d_);
  activation_of(f, rows() * 4 * d_);
  linear_rows(rows(), 4 * d_, d_);
  add_sum(Tier::bench, rows() * d_);
}

void TokenWalk::tied_head(int64_t vocabulary) { add_linear(Tier::bench, {rows(), d_, vocabulary}, Bias::absent); }

}  // namespace graft::bench
