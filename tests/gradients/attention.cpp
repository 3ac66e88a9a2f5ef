#include "tensor/ops/attention.h"

#include <doctest/doctest.h>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of attention") {
  const Tensor lengths = Tensor::from<int64_t>({4, 0}, {2}, Device{Backend::ref});
  struct Geometry {
    int64_t queries, keys, heads, kv_heads, dim;
  };
  for (auto [tq, tk, h, kv, d] : {Geometry{4, 4, 2, 2, 3}, {1, 5, 4, 2, 2}, {6, 4, 3, 1, 2}, {1, 1, 1, 1, 1}})
    for (AttentionOptions o : {AttentionOptions{}, {.causal = true}, {.window = 2}, {.causal = true, .window = 3, .scale = 0.8}})
      for (bool padded : {false, true}) {
        if (padded && tk < 4) continue;
        INFO(tq, " ", tk, " ", h, "/", kv, " ", d, " causal ", o.causal, " window ", o.window, " padded ", padded);
        CHECK(gradcheck([&](auto& x) { return attention(x[0], x[1], x[2], o, padded ? lengths : Tensor()); },
                        {random_input({2, tq, h, d}, 1), random_input({2, tk, kv, d}, 2), random_input({2, tk, kv, d}, 3)}) == "");
      }
}

TEST_CASE("gradient of self_attention") {
  const Tensor lengths = Tensor::from<int64_t>({4, 2}, {2}, Device{Backend::ref});
  for (auto [h, kv] : {std::pair{2, 2}, {4, 2}, {3, 1}})
    for (bool causal : {false, true}) {
      INFO(h, "/", kv, " causal ", causal);
      CHECK(gradcheck([&](auto& x) { return self_attention(x[0], h, kv, {.causal = causal}, lengths); },
                      {random_input({2, 4, (h + 2 * kv) * 3}, 1)}) == "");
    }
}
