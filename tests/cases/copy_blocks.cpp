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
}

}  // namespace graft::harness
