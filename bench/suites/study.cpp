#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// The network of the transfer study (nn/models/study_cnn.cpp): 32 x 32 x 3, 5 classes.
void study(Mode mode, int64_t batch) {
  constexpr auto relu = Activation::relu;
  ImageWalk net(mode, batch, 32, 3);
  for (auto [width, pool] : {std::pair<int64_t, bool>{16, true}, {32, true}, {48, false}, {48, true}}) {
    net.conv(width, 3, relu);
    if (pool) net.max_pool(2, 2, 0);
  }
  net.linear(128, relu);
  net.linear(64, relu);
  net.linear(5);
  net.classify(5);
  net.sgd();
}

const RegisterSuite registered({"study", "the network of the transfer study, 32 x 32", 50, 50, 250, study});

}  // namespace
}  // namespace graft::bench
