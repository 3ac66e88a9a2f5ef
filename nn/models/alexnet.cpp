// CaffeNet, the network of Yosinski et al. 2014: AlexNet (Krizhevsky, Sutskever, Hinton 2012) on one device, with pooling
// before LRN. 60,965,224 parameters with 1000 classes. Layer i's dropout stands at the entry of the layer that reads it,
// which is the same network; so everything up to fc6's activations is free of randomness and can be cached.
#include "nn/layers/conv2d.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/layers/pool2d.h"
#include "nn/models/models.h"

namespace graft::nn {

std::unique_ptr<Chain> alexnet(const ModelSpec& spec) {
  auto net = std::make_unique<Chain>();
  Shape x{1, spec.input[0], spec.input[1], spec.input[2]};
  const auto conv = [&](const char* name, int64_t out, int64_t kernel, ConvOptions options, bool pool, bool norm) {
    options.activation = Activation::relu;
    auto& block = net->add<Chain>(name);
    block.add<Conv2d>("", x[3], out, kernel, options);
    if (pool) block.add<MaxPool2d>("pool", Pool2dOptions{.kernel = 3, .stride = 2, .ceil_mode = true});  // as Caffe
    if (norm) block.add<Lrn>("norm", 5, 1e-4, 0.75, 1);
    x = block.output_shape(x);
  };
  conv("conv1", 96, 11, {.stride = 4, .gaussian = {0.01, 0}}, true, true);
  conv("conv2", 256, 5, {.padding = 2, .groups = 2, .gaussian = {0.01, 1}}, true, true);
  conv("conv3", 384, 3, {.padding = 1, .gaussian = {0.01, 0}}, false, false);
  conv("conv4", 384, 3, {.padding = 1, .groups = 2, .gaussian = {0.01, 1}}, false, false);
  conv("conv5", 256, 3, {.padding = 1, .groups = 2, .gaussian = {0.01, 1}}, true, false);

  const auto fc = [&](const char* name, int64_t in, int64_t out, LinearOptions options) {
    auto& block = net->add<Chain>(name);
    if (!options.image.rank()) block.add<Dropout>("drop", 0.5);
    block.add<Linear>("", in, out, options);
  };
  const Shape image{x[1], x[2], x[3]};
  fc("fc6", image.numel(), 4096, {.activation = Activation::relu, .gaussian = {0.005, 1}, .image = image});
  fc("fc7", 4096, 4096, {.activation = Activation::relu, .gaussian = {0.005, 1}});
  fc("fc8", 4096, spec.classes, {.gaussian = {0.01, 0}});
  return net;
}

}  // namespace graft::nn
