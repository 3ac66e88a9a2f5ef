// Small networks and data for the tests of this area.
#pragma once
#include <memory>

#include "io/datasets/dataset.h"
#include "kernels/common/philox.h"
#include "nn/init.h"
#include "nn/layers/activation.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/layers/pool2d.h"
#include "nn/layers/shape.h"
#include "nn/models/models.h"

namespace graft::toy {

// Noise with a bright square whose place tells the class: learnable in a few steps.
inline io::Dataset images(int64_t n, uint64_t key, int64_t side = 16, int64_t channels = 3, int64_t classes = 4) {
  const Philox random{stream_key(key, "toy"), 0};
  Tensor x = Tensor::empty({n, side, side, channels}, DType::u8), y = Tensor::empty({n}, DType::i64);
  for (int64_t i = 0, k = 0; i < n; ++i) {
    const int64_t c = i % classes, half = side / 2;
    y.data<int64_t>()[i] = c;
    for (int64_t r = 0; r < side; ++r)
      for (int64_t q = 0; q < side; ++q)
        for (int64_t ch = 0; ch < channels; ++ch, ++k) {
          const bool bright = (r >= half) == (c % 2 == 1) && (q >= half) == (c / 2 % 2 == 1);
          x.data<uint8_t>()[k] = uint8_t(random.below(uint64_t(k), 120) + (bright ? 60 : 0));
        }
  }
  std::vector<std::string> names;
  for (int64_t c = 0; c < classes; ++c) names.push_back("class" + std::to_string(c));
  return io::make_dataset("toy", x, y, names, "toy");
}

inline std::unique_ptr<nn::Chain> study_cnn(uint64_t key, int64_t side = 16, int64_t channels = 3, int64_t classes = 4) {
  auto net = nn::make_model({"study_cnn", {side, side, channels}, classes});
  nn::initialize(*net, nn::Init::he_normal, key);
  return net;
}

// conv1, norm1 and conv2 with batch norm; drop: a random block; fc.
inline std::unique_ptr<nn::Chain> norm_net(uint64_t key, int64_t classes = 4) {
  auto net = std::make_unique<nn::Chain>();
  for (const char* name : {"conv1", "conv2"}) {
    auto& block = net->add<nn::Chain>(name);
    block.add<nn::Conv2d>("conv", std::string(name) == "conv1" ? 3 : 8, 8, 3, nn::ConvOptions{.padding = 1, .bias = false});
    block.add<nn::BatchNorm2d>("bn", 8);
    block.add<nn::ReLU>("relu");
    block.add<nn::MaxPool2d>("pool", Pool2dOptions{.kernel = 2, .stride = 2});
  }
  auto& fc = net->add<nn::Chain>("fc3");
  fc.add<nn::Linear>("linear", 4 * 4 * 8, 16, nn::LinearOptions{.activation = Activation::relu, .image = {4, 4, 8}});
  fc.add<nn::Dropout>("drop", 0.5);
  net->add<nn::Linear>("fc4", 16, classes);
  nn::initialize(*net, nn::Init::he_normal, key);
  return net;
}

}  // namespace graft::toy
