#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// VGG-16, Simonyan & Zisserman 2015; 224 x 224, 1000 classes.
void vgg(Mode mode, int64_t batch) {
  constexpr auto relu = Activation::relu;
  ImageWalk net(mode, batch, 224, 3);
  struct Stage {
    int64_t width, layers;
  };
  for (auto [width, layers] : {Stage{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}}) {
    for (int64_t i = 0; i < layers; ++i) net.conv(width, 3, relu);
    net.max_pool(2, 2, 0);
  }
  net.linear(4096, relu);
  net.linear(4096, relu);
  net.linear(1000);
  net.classify(1000);
  net.sgd();
}

const RegisterSuite registered({"vgg", "VGG-16, Simonyan & Zisserman 2015, 224 x 224", 4, 32, 1, vgg});

}  // namespace
}  // namespace graft::bench
