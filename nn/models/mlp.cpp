#include "nn/layers/linear.h"
#include "nn/models/models.h"

namespace graft::nn {

std::unique_ptr<Chain> mlp(const ModelSpec& spec) {
  auto net = std::make_unique<Chain>();
  net->add<Linear>("fc1", spec.input.numel(), 256, LinearOptions{.activation = Activation::relu, .image = spec.input});
  net->add<Linear>("fc2", 256, 128, LinearOptions{.activation = Activation::relu});
  net->add<Linear>("fc3", 128, spec.classes, LinearOptions{.gaussian = {0.01, 0}});
  return net;
}

}  // namespace graft::nn
