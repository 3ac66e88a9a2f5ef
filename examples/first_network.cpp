// Builds a network of three blocks, freezes the first, trains the others to name the quadrant of a bright spot, and prints
// the layer table. See docs/tutorial_first_network.md.
#include <cstdio>

#include "nn/layers/conv2d.h"
#include "nn/layers/linear.h"
#include "nn/layers/pool2d.h"
#include "nn/optim/optimizer.h"
#include "nn/table.h"
#include "tensor/ops/loss.h"

namespace nn = graft::nn;
using graft::Tensor;

int main() {
  nn::Chain net;
  auto& conv1 = net.add<nn::Chain>("conv1");
  conv1.add<nn::Conv2d>("", 1, 8, 3, nn::ConvOptions{.padding = 1, .activation = graft::Activation::relu});
  conv1.add<nn::MaxPool2d>("pool", graft::Pool2dOptions{.kernel = 2});
  net.add<nn::Linear>("fc2", 4 * 4 * 8, 16, nn::LinearOptions{.activation = graft::Activation::relu, .image = {4, 4, 8}});
  net.add<nn::Linear>("fc3", 16, 4);
  nn::initialize(net, nn::Init::he_normal, 1);
  net.block(0).set_frozen(true);
  std::printf("%s", nn::layer_table(net, {8, 8, 1}).c_str());

  const Tensor x = Tensor::zeros({64, 8, 8, 1}), labels = Tensor::empty({64}, graft::DType::i64);
  for (int64_t i = 0; i < 64; ++i) {  // image i: pixel i is bright
    x.data<float>()[i * 64 + i] = 1;
    labels.data<int64_t>()[i] = i / 8 / 4 * 2 + i % 8 / 4;
  }
  nn::Sgd optimizer({{nn::trainable_parameters(net)}}, {.momentum = 0.9});
  for (int step = 0; step <= 100; ++step) {
    const Tensor loss = graft::cross_entropy(net.forward(x), labels);
    if (step % 20 == 0) std::printf("step %3d  loss %.4f\n", step, loss.item());
    optimizer.zero_grad();
    loss.backward();
    optimizer.step(0.1);
  }
}
