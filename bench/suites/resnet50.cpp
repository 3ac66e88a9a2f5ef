#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// He et al. 2016, stride in the 3x3 of a stage's first block as every framework has it; 224 x 224, 1000 classes.
void resnet50(Mode mode, int64_t batch) {
  constexpr auto relu = Activation::relu;
  ImageWalk net(mode, batch, 224, 3);
  net.conv_norm(64, 7, relu, {.stride = 2});
  net.max_pool(3, 2, 1);
  struct Stage {
    int64_t width, blocks, stride;
  };
  for (auto [width, blocks, stride] : {Stage{64, 3, 1}, {128, 4, 2}, {256, 6, 2}, {512, 3, 2}})
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t side = net.side(), in = net.channels();
      const ConvOptions first{.stride = i == 0 ? stride : 1};
      net.conv_norm(width, 1, relu);
      net.conv_norm(width, 3, relu, first);
      net.conv_norm_add(4 * width, 1, relu);
      if (i == 0) net.shortcut(side, in, 1, first);
    }
  net.global_average();
  net.linear(1000);
  net.classify(1000);
  net.sgd();
}

const RegisterSuite registered({"resnet50", "He et al. 2016, 224 x 224", 8, 64, 1, resnet50});

}  // namespace
}  // namespace graft::bench
