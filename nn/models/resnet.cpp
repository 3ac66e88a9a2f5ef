// Residual networks (He, Zhang, Ren, Sun 2016): a stem, stages of residual blocks, global pooling, one linear layer.
//
// For CIFAR (section 4.2): depth 6 n + 2, a 3x3 stem, three stages of n blocks with 16, 32, 64 channels. Where a stage halves the
// image the shortcut takes every second pixel and pads the new channels with zeros (option A: no parameters). Names as in
// akamaster/pytorch_resnet_cifar10.
// For ImageNet (table 1): a 7x7 stem with pooling, four stages, option B: the shortcut is a 1x1 convolution with a norm where its
// ends differ. In a bottleneck the 3x3 convolution has the stride (torchvision's "v1.5"). Names as in torchvision: conv1.weight,
// bn1.weight, layer1.0.conv1.weight, layer2.0.downsample.0.weight, layer2.0.downsample.1.running_mean, fc.weight; filters are
// [out, in, h, w] there.
#include "nn/layers/conv_norm.h"
#include "nn/layers/linear.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/shape.h"
#include "nn/models/models.h"

namespace graft::nn {
namespace {

// relu(body(x) + shortcut(x)), where the norm that ends the body adds the shortcut and takes relu. The body's names are the block's
// own; the shortcut's begin with `name`.
class Residual : public Module {
 public:
  explicit Residual(const std::string& name) {
    add_child("", body);
    add_child(name, shortcut);
  }
  Tensor forward(const Tensor& x) override {
    const Tensor y = body.forward(x, 0, body.size() - 1);
    return dynamic_cast<ConvNorm&>(body.block(body.size() - 1)).forward(y, shortcut.forward(x));
  }
  Shape output_shape(const Shape& x) const override { return body.output_shape(x); }
  int64_t multiply_adds(const Shape& x) const override { return body.multiply_adds(x) + shortcut.multiply_adds(x); }

  Chain body, shortcut;  // an empty shortcut is the identity
};

// A convolution and its norm, under their own names.
void add_conv(Chain& chain, const std::string& conv, const std::string& norm, int64_t in, int64_t out, int64_t kernel,
              int64_t stride, Activation f) {
  const ConvOptions options{.stride = stride, .padding = kernel / 2};
  chain.append(conv, "", std::make_unique<ConvNorm>(conv, norm, in, out, kernel, options, f));
}
// Convolution i of a block, and its norm with relu.
void add_conv(Chain& chain, int i, int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  add_conv(chain, fmt::format("conv{}", i), fmt::format("bn{}", i), in, out, kernel, stride, Activation::relu);
}

void add_basic(Chain& body, int64_t in, int64_t out, int64_t stride) {
  add_conv(body, 1, in, out, 3, stride);
  add_conv(body, 2, out, out, 3, 1);
}

void add_bottleneck(Chain& body, int64_t in, int64_t out, int64_t stride) {
  add_conv(body, 1, in, out / 4, 1, 1);
  add_conv(body, 2, out / 4, out / 4, 3, stride);
  add_conv(body, 3, out / 4, out, 1, 1);
}

void append_head(Chain& net, const char* name, int64_t in, int64_t classes) {
  auto head = std::make_unique<Chain>();
  head->add<GlobalAvgPool2d>("pool");
  head->add<Linear>(name, in, classes, LinearOptions{.gaussian = {0.01, 0}});
  net.append("head", "", std::move(head));
}

}  // namespace

std::unique_ptr<Chain> resnet_cifar(const ModelSpec& spec, int depth) {
  check<ConfigError>(depth >= 8 && depth % 6 == 2, "resnet: depth: expected 6 n + 2, got {}", depth);
  auto net = std::make_unique<Chain>();
  auto stem = std::make_unique<Chain>();
  add_conv(*stem, 1, spec.input[2], 16, 3, 1);
  net->append("stem", "", std::move(stem));
  int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage)
    for (int i = 0; i < (depth - 2) / 6; ++i) {
      const int64_t out = int64_t{8} << stage, stride = in == out ? 1 : 2;
      auto& block = net->add<Residual>(fmt::format("layer{}.{}", stage, i), "shortcut");  // which holds nothing to train
      add_basic(block.body, in, out, stride);
      // Pooling over windows of one pixel is subsampling: x[:, ::stride, ::stride, :].
      if (stride != 1) block.shortcut.add<AvgPool2d>("subsample", Pool2dOptions{.kernel = 1, .stride = stride});
      if (in != out) block.shortcut.add<PadChannels>("pad", (out - in) / 2, (out - in) / 2);
      in = out;
    }
  append_head(*net, "linear", in, spec.classes);
  return net;
}

std::unique_ptr<Chain> resnet(const ModelSpec& spec, const ResNetOptions& o) {
  auto net = std::make_unique<Chain>();
  auto stem = std::make_unique<Chain>();
  add_conv(*stem, 1, spec.input[2], o.width, 7, 2);
  stem->add<MaxPool2d>("maxpool", Pool2dOptions{.kernel = 3, .stride = 2, .padding = 1});
  net->append("stem", "", std::move(stem));
  int64_t in = o.width;
  for (int stage = 0; stage < 4; ++stage)
    for (int i = 0; i < o.blocks[size_t(stage)]; ++i) {
      const int64_t out = (o.width << stage) * (o.bottleneck ? 4 : 1), stride = stage > 0 && i == 0 ? 2 : 1;
      auto& block = net->add<Residual>(fmt::format("layer{}.{}", stage + 1, i), "downsample");
      (o.bottleneck ? add_bottleneck : add_basic)(block.body, in, out, stride);
      if (stride != 1 || in != out) add_conv(block.shortcut, "0", "1", in, out, 1, stride, Activation::none);
      in = out;
    }
  append_head(*net, "fc", in, spec.classes);
  return net;
}

}  // namespace graft::nn
