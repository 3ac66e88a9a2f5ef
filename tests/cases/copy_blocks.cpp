#include "kernels/copy/copy_blocks.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {

GRAFT_CASES(copy_blocks) {
  struct Copy {
    int64_t count, block, x_gap, y_gap;
  };
  for (auto [count, block, x_gap, y_gap] :
       {Copy{1, 1, 0, 0}, {3, 5, 2, 0}, {7, 64, 0, 9}, {70000, 1, 1, 2}, {2, 50001, 3, 1}, {0, 4, 0, 0}})
    add<CopyBlocksForward>(
        Op::copy_blocks, Pass::forward, fmt::format("count={} block={} gaps={},{}", count, block, x_gap, y_gap),
        count * block < 1000 ? Tier::smoke : Tier::ci, {in_out(1 + count * (block + y_gap)), in(2 + count * (block + x_gap))},
        {.reduction = 0, .bytes = 8.0 * double(count * block)}, CopyBlocksParams{count, block, 2, block + x_gap, 1, block + y_gap});
  for (auto [count, block] : {std::pair<int64_t, int64_t>{3, 8}, {5, 64}})  // in units of 16 bytes
    add<CopyBlocksForward>(Op::copy_blocks, Pass::forward, fmt::format("count={} block={} in vectors", count, block), Tier::smoke,
                           {in_out(16 + count * (block + 24)), in(8 + count * (block + 8))},
                           {.reduction = 0, .bytes = 8.0 * double(count * block)},
                           CopyBlocksParams{count, block, 8, block + 8, 16, block + 24});
  for (int odd = 0; odd < 5; ++odd) {  // all but one number
    const auto at = [&](int i, int64_t n) { return n + (i == odd); };
    const CopyBlocksParams p{3, at(0, 16), at(1, 8), at(2, 32), at(3, 16), at(4, 40)};
    add<CopyBlocksForward>(Op::copy_blocks, Pass::forward, fmt::format("count=3 block=16 odd={}", odd), Tier::smoke,
                           {in_out(150), in(120)}, {.reduction = 0, .bytes = 8.0 * 48}, p);
  }
}

}  // namespace graft::harness
