#include "kernels/fracdiff/fracdiff.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(fracdiff) {
  struct Shape {
    int64_t series, length, window;
    Tier tier;
  };
  constexpr Shape kShapes[] = {{1, 1, 1, Tier::smoke},
                               {2, 5, 1, Tier::smoke},
                               {3, 17, 17, Tier::smoke},
                               {1, 131, 40, Tier::smoke},
                               {5, 64, 64, Tier::smoke},
                               {1, 1900, 23, Tier::ci},
                               {2, 1801, 7, Tier::smoke},
                               {1, 1024, 3, Tier::ci},
                               {1, 2311, 100, Tier::ci},  // edges of tiles and taps
                               {1, 1025, 230, Tier::ci},
                               {1, 1025, 460, Tier::ci},
                               {1, 3001, 3001, Tier::ci},
                               {67, 129, 129, Tier::ci},
                               {70001, 3, 2, Tier::ci},
                               {1, 1 << 20, 318, Tier::bench},
                               {1, 10'000'000, 318, Tier::bench},
                               {2000, 5040, 318, Tier::bench},
                               {1, 1 << 15, 1 << 15, Tier::bench}};
  for (auto [series, length, window, tier] : kShapes) {
    const int64_t n = series * length;
    const double products = double(series) * (double(window) * double(length) - 0.5 * double(window) * double(window - 1));
    const Cost cost{.reduction = double(window), .flops = 2 * products, .bytes = 8.0 * double(n)};
    const auto name = fmt::format("series={} length={} window={}", series, length, window);
    const FracdiffParams p{series, length, window};
    add<FracdiffForward>(Op::fracdiff, Pass::forward, name, tier, {out(n), in(n), in(window)}, cost, p);
    add<FracdiffBackward>(Op::fracdiff, Pass::backward, name, tier, {out(n), in(n), in(window)}, cost, p);
  }
}

}  // namespace graft::harness
