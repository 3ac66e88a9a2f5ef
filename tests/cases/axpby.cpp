#include "kernels/elementwise/axpby.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(axpby) {
  for (int64_t n : {1, 5, 16, 1001, 50000})
    for (double b : {0.0, 1.0, -0.25})
      add<AxpbyForward>(Op::axpby, Pass::forward, fmt::format("n={} b={}", n, b), n < 100 ? Tier::smoke : Tier::ci,
                        {b == 0 ? out(n) : in_out(n), in(n)}, {.reduction = 2, .flops = 3.0 * double(n), .bytes = 12.0 * double(n)},
                        AxpbyParams{0.75, b, n});
}

}  // namespace graft::harness
