#include "kernels/elementwise/dropout.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(dropout) {
  for (int64_t n : {1, 3, 32, 65, 8192, 70001})
    for (double p : {0.0, 0.1, 0.5, 0.999})
      add<DropoutForward>(Op::dropout, Pass::forward, fmt::format("n={} p={}", n, p), n < 100 ? Tier::smoke : Tier::ci,
                          {out(n), in(n)}, {.reduction = 1, .flops = double(n), .bytes = 8.0 * double(n)},
                          DropoutParams{p, {stream_key(uint64_t(n), "dropout"), 0x123456789}, n});
}

}  // namespace graft::harness
