#include "kernels/elementwise/activation.h"

#include <fmt/core.h>

#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {

void add_activation(Tier tier, const ActivationParams& p) {
  const int64_t n = p.n;
  const auto name = fmt::format("kind={} n={}{}", int(p.kind), n, p.columns ? fmt::format(" columns={}", p.columns) : "");
  if (p.columns)
    return add<ActivationBackward>(
        Op::activation, Pass::backward, name, tier, {out(n), out(p.columns), in(n), in_uniform(n, -9, 9)},
        {.reduction = 8 + double(n / p.columns), .flops = double(n), .bytes = 12.0 * double(n), .scale = 1}, p);
  add<ActivationForward>(Op::activation, Pass::forward, name, tier, {out(n), in_uniform(n, -9, 9)},
                         {.reduction = 8, .flops = double(n), .bytes = 8.0 * double(n), .scale = 1}, p);
  add<ActivationBackward>(Op::activation, Pass::backward, name, tier, {out(n), absent(), in(n), in_uniform(n, -9, 9)},
                          {.reduction = 8, .flops = double(n), .bytes = 12.0 * double(n), .scale = 1}, p);
}

GRAFT_CASES(activation) {
  using enum Activation;
  for (Activation kind : {none, relu, relu6, gelu, silu, tanh, sigmoid, gelu_tanh})
    for (int64_t n : {1, 7, 8, 31, 1000, 70001}) add_activation(n < 100 ? Tier::smoke : Tier::ci, {kind, n});
  for (Activation kind : {none, relu, relu6, gelu, silu, tanh, sigmoid, gelu_tanh}) {  // NaN stays NaN
    const ActivationParams p{kind, 37};
    add<ActivationForward>(Op::activation, Pass::forward, fmt::format("kind={} NaN", int(kind)), Tier::smoke,
                           {out(p.n), in_holes(p.n, NAN)}, {.reduction = 8, .flops = double(p.n), .scale = 1}, p);
    add<ActivationBackward>(Op::activation, Pass::backward, fmt::format("kind={} NaN", int(kind)), Tier::smoke,
                            {out(p.n), absent(), in(p.n), in_holes(p.n, NAN)}, {.reduction = 8, .flops = double(p.n), .scale = 1},
                            p);
  }
  for (Activation kind : {none, relu, relu6, gelu, silu, tanh, sigmoid,
                          gelu_tanh})  // with a bias gradient: columns alone, in whole vectors, more than a warp's
    for (auto [rows, columns] : {std::pair{5, 3}, {1, 8}, {37, 16}, {33, 264}, {1100, 8}, {70, 1}, {3, 2056}})
      add_activation(rows * columns < 2000 ? Tier::smoke : Tier::ci, {kind, rows * columns, columns});
  for (Activation kind : {relu, gelu}) add_activation(Tier::bench, {kind, 1 << 24});
}

}  // namespace graft::harness
