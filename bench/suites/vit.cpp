#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// ViT-B/16, Dosovitskiy et al. 2021: 196 patches and a class token of 224 x 224, 1000 classes.
void vit(Mode mode, int64_t batch) {
  constexpr int64_t kPatch = 16, kSide = 224, kWidth = 768, kTokens = (kSide / kPatch) * (kSide / kPatch) + 1;
  harness::add_conv2d(Op::conv2d, harness::Tier::bench, {batch, kSide, kSide, 3, kWidth, kPatch, kPatch, kPatch, 0},
                      harness::Bias::present);
  TokenWalk net(mode, batch, kTokens, kWidth);
  net.learned(kWidth * kPatch * kPatch * 3), net.learned(kWidth);  // the convolution
  net.learned(kWidth), net.learned(kTokens * kWidth);              // class token, positions
  for (int layer = 0; layer < 12; ++layer) net.block(12, Activation::gelu, false);
  net.norm();
  net.linear(batch, kWidth, 1000);
  net.loss(batch, 1000);
  net.adamw();
}

const RegisterSuite registered({"vit", "ViT-B/16, Dosovitskiy et al. 2021, 224 x 224", 4, 64, 1, vit});

}  // namespace
}  // namespace graft::bench
