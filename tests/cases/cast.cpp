#include "kernels/elementwise/cast.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(cast) {
  for (int64_t n : {0, 1, 7, 8, 1029, 70001}) {
    const Tier tier = n < 2000 ? Tier::smoke : Tier::ci;
    const Cost cost{.reduction = 0, .bytes = 6.0 * double(n)};
    add<CastForward>(Op::cast, Pass::forward, fmt::format("n={}", n), tier, {out(n), in(n)}, cost, CastParams{n});
    add<CastBackward>(Op::cast, Pass::backward, fmt::format("n={}", n), tier, {out(n), in(n)}, cost, CastParams{n});
  }
}

}  // namespace graft::harness
