// The networks that Graft builds by name. Every one is a Chain whose blocks are its cut points.
//   study_cnn             conv1..conv4, fc5..fc7: the small network of the transfer study, for 32x32 or 28x28 images
//   mlp                   fc1..fc3 on the flattened image
//   alexnet               conv1..conv5, fc6..fc8: CaffeNet (Krizhevsky 2012 with pooling before LRN; Jia 2014), 227x227
//   resnet20/32/44/56     stem, layer1.0 .. layer3.n-1, head: He 2016 for CIFAR, option-A shortcuts
// Weights are NaN until initialize() (nn/init.h) or a loader fills them: a forgotten layer shows.
#pragma once
#include "nn/chain.h"

namespace graft::nn {

struct ModelSpec {
  std::string name;
  Shape input;  // [H, W, C]
  int64_t classes;
};

// ConfigError: unknown name (lists all). ShapeError: the input is too small for the network.
std::unique_ptr<Chain> make_model(const ModelSpec&);
std::vector<std::string> model_names();

std::unique_ptr<Chain> study_cnn(const ModelSpec&);
std::unique_ptr<Chain> mlp(const ModelSpec&);
std::unique_ptr<Chain> alexnet(const ModelSpec&);
std::unique_ptr<Chain> resnet_cifar(const ModelSpec&, int depth);  // 6 n + 2

}  // namespace graft::nn
