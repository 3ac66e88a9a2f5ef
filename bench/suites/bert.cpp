#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// BERT base, Devlin et al. 2019: 128 tokens, padded; fine-tuned to tell two classes apart.
void bert(Mode mode, int64_t batch) {
  constexpr int64_t kTokens = 128, kPositions = 512, kWidth = 768;
  TokenWalk net(mode, batch, kTokens, kWidth);
  net.embedding(30522);
  net.learned(kPositions * kWidth);
  net.learned(2 * kWidth);  // segments
  for (int layer = 0; layer < 12; ++layer) net.block(12, Activation::gelu, false, harness::Padding::random);
  net.norm();  // norms stand behind the residuals: one at the start, none at the end; their number is the same
  net.linear(batch, kWidth, kWidth);  // the pooler
  net.activation(Activation::tanh, batch * kWidth);
  net.linear(batch, kWidth, 2);
  net.loss(batch, 2);
  net.adamw();
}

const RegisterSuite registered({"bert", "BERT base, Devlin et al. 2019, 128 tokens", 8, 32, 1, bert});

}  // namespace
}  // namespace graft::bench
