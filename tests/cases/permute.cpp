#include "kernels/copy/permute.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(permute) {
  struct Axes {
    std::array<int64_t, 6> sizes;
    std::array<size_t, 6> order;
  };
  for (const auto& [sizes, order] : {Axes{{1, 1, 1, 1, 1, 1}, {0, 1, 2, 3, 4, 5}},
                                     {{1, 1, 1, 1, 1, 9}, {5, 4, 3, 2, 1, 0}},
                                     {{1, 1, 1, 1, 5, 7}, {0, 1, 2, 3, 5, 4}},
                                     {{2, 3, 2, 5, 3, 4}, {5, 0, 3, 1, 4, 2}},
                                     {{2, 3, 2, 5, 3, 4}, {3, 1, 0, 2, 4, 5}},
                                     {{1, 1, 1, 1, 35, 9}, {0, 1, 2, 3, 5, 4}},
                                     {{1, 1, 3, 10, 2, 9}, {0, 1, 4, 5, 2, 3}},
                                     {{1, 1, 3, 4, 5, 8}, {0, 1, 4, 2, 3, 5}},
                                     {{1, 1, 1, 1, 333, 257}, {0, 1, 2, 3, 5, 4}},
                                     {{1, 1, 10, 33, 31, 48}, {0, 1, 2, 5, 3, 4}},
                                     {{1, 1, 10, 48, 31, 33}, {0, 1, 2, 4, 5, 3}},
                                     {{1, 1, 1, 70000, 1, 3}, {0, 1, 2, 4, 5, 3}},
                                     {{1, 1, 1, 4, 0, 3}, {0, 1, 2, 5, 3, 4}}}) {
    PermuteParams p;
    int64_t n = 1;
    std::string name = "x=";
    for (size_t d = 0; d < 6; ++d) {
      name += fmt::format("{},", sizes[d]);
      n *= sizes[d];
      p.dims[d] = sizes[order[d]];
      p.strides[d] = 1;
      for (size_t k = order[d] + 1; k < 6; ++k) p.strides[d] *= sizes[k];
    }
    for (size_t axis : order) name += fmt::format(" {}", axis);
    add<PermuteForward>(Op::permute, Pass::forward, name, n < 1000 ? Tier::smoke : Tier::ci, {out(n), in(n)},
                        {.reduction = 0, .bytes = 8.0 * double(n)}, p);
  }
}

}  // namespace graft::harness
