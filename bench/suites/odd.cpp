#include <cmath>

#include "bench/suites/walk.h"

namespace graft::bench {
namespace {

// No model: primes and ragged sizes, where tiles are cut and vectors end early. batch: of the images and sequences.
void odd(Mode, int64_t batch) {
  using namespace harness;
  constexpr Tier tier = Tier::bench;
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      add_matmul(tier, {1, 1021, 1019, 1013, ta, tb});
      add_matmul(tier, {1, 257, 509, 1031, ta, tb});
      add_matmul(tier, {1, 4099, 17, 61, ta, tb});
    }
  for (int64_t n : {127, 129}) add_matmul(tier, {batch, n, n, n, false, true});
  add_linear(tier, {313, 787, 1579, Activation::relu}, Bias::present);
  for (Conv2dParams p : {Conv2dParams{batch, 61, 59, 23, 37, 3, 3, 1, 1},
                         {batch, 37, 41, 67, 71, 1, 1, 1, 0},
                         {batch, 53, 47, 13, 29, 5, 3, 2, 1},
                         {batch, 31, 29, 30, 42, 3, 3, 2, 1, 1, 6}}) {
    p.activation = Activation::relu;
    add_conv2d(Op::conv2d, tier, p, Bias::present);
  }
  add_conv2d(Op::depthwise_conv2d, tier, {batch, 43, 37, 101, 101, 3, 3, 1, 1, 1, 101}, Bias::absent);
  const auto attention = [&](int64_t queries, int64_t keys, int64_t dim, bool causal, Padding padding) {
    add_attention(tier, {batch, queries, keys, 6, 2, dim, 1 / std::sqrt(double(dim)), causal}, padding);
  };
  attention(509, 509, 64, true, Padding::random);
  attention(251, 677, 64, false, Padding::none);
  attention(127, 127, 40, false, Padding::random);
  add_layer_norm(tier, 1021, 773, Affine::yes);
  add_batch_norm(tier, 7919, 67, Affine::yes);
  add_softmax(Op::softmax, tier, {1021, 1019});
  add_cross_entropy(tier, {509, 5003, 0});
  add_activation(tier, {Activation::gelu, 1299709});
  add_sum(tier, 1299709);
  add_sgd(tier, {1, 101, 10007, 999983, 7}, 0.9, false);
  add_adamw(tier, {1, 101, 10007, 999983, 7}, 10);
}

const RegisterSuite registered({"odd", "primes and ragged sizes of no model", 4, 16, 1, odd});

}  // namespace
}  // namespace graft::bench
