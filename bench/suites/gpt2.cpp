#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// GPT-2 124M, Radford et al. 2019: 1024 tokens in training; inference makes one token beside a cache of 1024.
void gpt2(Mode mode, int64_t batch) {
  constexpr int64_t kTokens = 1024, kWidth = 768, kVocabulary = 50257;
  const bool training = mode == Mode::train;
  TokenWalk net(mode, batch, training ? kTokens : 1, kWidth);
  net.embedding(kVocabulary);
  net.learned(kTokens * kWidth);
  for (int layer = 0; layer < 12; ++layer) net.block(12, Activation::gelu_tanh, true, harness::Padding::none, kTokens);
  net.norm();
  net.tied_head(kVocabulary);
  net.loss(net.rows(), kVocabulary);
  net.adamw();
}

const RegisterSuite registered({"gpt2", "GPT-2 124M, Radford et al. 2019, 1024 tokens", 1, 8, 1, gpt2});

}  // namespace
}  // namespace graft::bench
