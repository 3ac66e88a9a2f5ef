// ResNet for CIFAR (He, Zhang, Ren, Sun 2016, section 4.2): a 3x3 stem, three stages of n residual blocks with 16, 32, 64
// channels, global pooling, one linear layer; depth 6 n + 2. Where a stage halves the image the shortcut takes every second
// pixel and pads the new channels with zeros (option A: no parameters). Names as in akamaster/pytorch_resnet_cifar10.
#include "nn/layers/conv2d.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/shape.h"
#include "nn/models/models.h"
#include "tensor/ops/activation.h"
#include "tensor/ops/binary.h"

namespace graft::nn {
namespace {

ConvOptions conv3x3(int64_t stride) { return {.stride = stride, .padding = 1, .bias = false}; }

class Stem : public Module {
 public:
  explicit Stem(int64_t in) : conv1_(in, 16, 3, conv3x3(1)), bn1_(16) {
    add_child("conv1", conv1_);
    add_child("bn1", bn1_);
  }
  Tensor forward(const Tensor& x) override { return relu(bn1_.forward(conv1_.forward(x))); }
  Shape output_shape(const Shape& x) const override { return conv1_.output_shape(x); }
  int64_t multiply_adds(const Shape& x) const override { return conv1_.multiply_adds(x); }

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
};

// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))
class BasicBlock : public Module {
 public:
  BasicBlock(int64_t in, int64_t out, int64_t stride)
      : conv1_(in, out, 3, conv3x3(stride)), bn1_(out), conv2_(out, out, 3, conv3x3(1)), bn2_(out) {
    add_child("conv1", conv1_);
    add_child("bn1", bn1_);
    add_child("conv2", conv2_);
    add_child("bn2", bn2_);
    // Pooling over windows of one pixel is subsampling: x[:, ::stride, ::stride, :].
    if (stride != 1) shortcut_.add<AvgPool2d>("subsample", Pool2dOptions{.kernel = 1, .stride = stride});
    if (in != out) shortcut_.add<PadChannels>("pad", (out - in) / 2, (out - in) / 2);
  }

  Tensor forward(const Tensor& x) override {
    const Tensor y = relu(bn1_.forward(conv1_.forward(x)));
    return relu(add(bn2_.forward(conv2_.forward(y)), shortcut_.forward(x)));
  }
  Shape output_shape(const Shape& x) const override { return conv1_.output_shape(x); }
  int64_t multiply_adds(const Shape& x) const override {
    return conv1_.multiply_adds(x) + conv2_.multiply_adds(conv1_.output_shape(x));
  }

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  Chain shortcut_;  // holds nothing to train
};

}  // namespace

std::unique_ptr<Chain> resnet_cifar(const ModelSpec& spec, int depth) {
  check<ConfigError>(depth >= 8 && depth % 6 == 2, "resnet: depth: expected 6 n + 2, got {}", depth);
  auto net = std::make_unique<Chain>();
  net->append("stem", "", std::make_unique<Stem>(spec.input[2]));
  int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage)
    for (int i = 0; i < (depth - 2) / 6; ++i) {
      const int64_t out = int64_t{8} << stage;
      net->add<BasicBlock>(fmt::format("layer{}.{}", stage, i), in, out, in == out ? 1 : 2);
      in = out;
    }
  auto head = std::make_unique<Chain>();
  head->add<GlobalAvgPool2d>("pool");
  head->add<Linear>("linear", in, spec.classes, LinearOptions{.gaussian = {0.01, 0}});
  net->append("head", "", std::move(head));
  return net;
}

}  // namespace graft::nn
