#include "kernels/elementwise/activation.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(activation) {
  using enum Activation;
  for (Activation kind : {none, relu, relu6, gelu, silu, tanh, sigmoid, gelu_tanh})
    for (int64_t n : {1, 7, 8, 31, 1000, 70001}) {
      const auto name = fmt::format("kind={} n={}", int(kind), n);
      const Tier tier = n < 100 ? Tier::smoke : Tier::ci;
      add<ActivationForward>(Op::activation, Pass::forward, name, tier, {out(n), in_uniform(n, -9, 9)},
                             {.reduction = 8, .flops = double(n), .bytes = 8.0 * double(n), .scale = 1}, ActivationParams{kind, n});
      add<ActivationBackward>(Op::activation, Pass::backward, name, tier, {out(n), in(n), in_uniform(n, -9, 9)},
                              {.reduction = 8, .flops = double(n), .bytes = 12.0 * double(n), .scale = 1},
                              ActivationParams{kind, n});
    }
}

}  // namespace graft::harness
