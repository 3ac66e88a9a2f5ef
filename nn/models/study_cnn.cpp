// Seven weight layers, 3.94 M multiply-adds on 32x32x3: small enough for a whole transfer grid on two cores, deep enough for
// the fall from general to specific.
#include "nn/layers/conv2d.h"
#include "nn/layers/linear.h"
#include "nn/layers/pool2d.h"
#include "nn/models/models.h"

namespace graft::nn {

std::unique_ptr<Chain> study_cnn(const ModelSpec& spec) {
  auto net = std::make_unique<Chain>();
  Shape x{1, spec.input[0], spec.input[1], spec.input[2]};
  const auto conv = [&](const char* name, int64_t out, bool pool, double gaussian_bias) {
    auto& block = net->add<Chain>(name);
    block.add<Conv2d>("", x[3], out, 3,
                      ConvOptions{.padding = 1, .activation = Activation::relu, .gaussian = {0.01, gaussian_bias}});
    if (pool) block.add<MaxPool2d>("pool", Pool2dOptions{.kernel = 2, .stride = 2});
    x = block.output_shape(x);
  };
  conv("conv1", 16, true, 0);
  conv("conv2", 32, true, 1);
  conv("conv3", 48, false, 0);
  conv("conv4", 48, true, 1);
  const Shape image{x[1], x[2], x[3]};
  net->add<Linear>("fc5", image.numel(), 128, LinearOptions{.activation = Activation::relu, .image = image});
  net->add<Linear>("fc6", 128, 64, LinearOptions{.activation = Activation::relu});
  net->add<Linear>("fc7", 64, spec.classes, LinearOptions{.gaussian = {0.01, 0}});
  return net;
}

}  // namespace graft::nn
