#include <algorithm>

#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// EfficientNet-B0, Tan & Le 2019; 224 x 224, 1000 classes.
void efficientnet(Mode mode, int64_t batch) {
  constexpr auto silu = Activation::silu;
  ImageWalk net(mode, batch, 224, 3);
  net.conv_norm(32, 3, silu, {.stride = 2});
  struct Stage {
    int64_t expand, width, blocks, stride, kernel;
  };
  for (auto [expand, width, blocks, stride, kernel] : {Stage{1, 16, 1, 1, 3},
                                                       {6, 24, 2, 2, 3},
                                                       {6, 40, 2, 2, 5},
                                                       {6, 80, 3, 2, 3},
                                                       {6, 112, 3, 1, 5},
                                                       {6, 192, 4, 2, 5},
                                                       {6, 320, 1, 1, 3}})
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t in = net.channels(), wide = in * expand;
      if (expand > 1) net.conv_norm(wide, 1, silu);
      net.conv_norm(wide, kernel, silu, {.stride = i == 0 ? stride : 1, .depthwise = true});
      net.squeeze_excite(std::max<int64_t>(1, in / 4));
      net.conv_norm(width, 1, Activation::none);
      if (i > 0) net.add(Activation::none);
    }
  net.conv_norm(1280, 1, silu);
  net.global_average();
  net.linear(1000);
  net.classify(1000);
  net.sgd();
}

const RegisterSuite registered({"efficientnet", "EfficientNet-B0, Tan & Le 2019, 224 x 224", 8, 64, 1, efficientnet});

}  // namespace
}  // namespace graft::bench
