#include "kernels/embedding/embedding.h"

#include <fmt/core.h>

#include <algorithm>

#include "tests/cases/makers.h"

namespace graft::harness {

void add_embedding(Tier tier, const EmbeddingParams& p) {
  const auto [n, vocabulary, features] = p;
  const auto name = fmt::format("n={} vocabulary={} features={}", n, vocabulary, features);
  const auto bytes = [&](int64_t rows) {
    return 4.0 * double((n + rows) * features);
  };  // a gather reads no row that it does not give
  add<EmbeddingForward>(Op::embedding, Pass::forward, name, tier,
                        {out(n * features), in(vocabulary * features), index(n, vocabulary)},
                        {.reduction = 0, .bytes = bytes(std::min(n, vocabulary))}, p);
  add<EmbeddingBackward>(
      Op::embedding, Pass::backward, name, tier, {out(vocabulary * features), in(n * features), index(n, vocabulary)},
      {.reduction = double(n) / double(vocabulary), .flops = double(n * features), .bytes = bytes(vocabulary)}, p);
}

GRAFT_CASES(embedding) {
  struct Table {
    int64_t n, vocabulary, features;
  };
  for (auto [n, vocabulary, features] : {Table{1, 1, 1},
                                         {5, 3, 7},
                                         {0, 4, 2},
                                         {0, 20, 8},
                                         {40, 1000, 33},
                                         {3000, 50, 96},
                                         {70001, 7, 5},
                                         {66000, 40, 4},
                                         {64, 6003, 96},
                                         {90, 20, 8},
                                         {300, 16, 264},
                                         {600, 16, 8},
                                         {12, 16, 1040}}) {
    add_embedding(n < 100 ? Tier::smoke : Tier::ci, {n, vocabulary, features});
  }
}

}  // namespace graft::harness
