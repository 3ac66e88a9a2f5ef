#include "kernels/reduce/reduce.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(reduce) {
  struct Axes {
    int64_t outer, n, inner;
  };
  for (auto [outer, n, inner] : {Axes{1, 1, 1},
                                 {1, 7, 1},
                                 {5, 3, 9},
                                 {3, 1, 4},
                                 {2, 0, 3},
                                 {31, 33, 1},
                                 {1, 300001, 1},
                                 {70001, 3, 1},
                                 {3, 20011, 1},
                                 {1, 70001, 5},
                                 {1, 2, 50001},
                                 {10, 49, 64},
                                 {700, 5, 33}})
    for (Reduce kind : {Reduce::sum, Reduce::mean}) {
      if (kind == Reduce::mean && n == 0) continue;
      const ReduceParams p{kind, outer, n, inner};
      const auto name = fmt::format("kind={} outer={} n={} inner={}", int(kind), outer, n, inner);
      const int64_t x = outer * n * inner, y = outer * inner;
      const Tier tier = x < 2000 ? Tier::smoke : Tier::ci;
      add<ReduceForward>(Op::reduce, Pass::forward, name, tier, {out(y), in(x)},
                         {.reduction = double(n), .flops = double(x), .bytes = 4.0 * double(x + y)}, p);
      add<ReduceBackward>(Op::reduce, Pass::backward, name, tier, {out(x), in(y)},
                          {.reduction = 1, .flops = double(x), .bytes = 4.0 * double(x + y)}, p);
    }
}

}  // namespace graft::harness
