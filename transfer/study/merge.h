// Joins the stores of shards.
#pragma once
#include <span>

#include "transfer/study/store.h"

namespace graft::study {

struct MergeSummary {
  int64_t stores = 0, added = 0, shared = 0, missing = 0;  // results; cells of the grid that no store has
};

// Into `out`, a new folder or a store of the same study: results, and the weights of the shared networks. ConfigError, and
// nothing written, when the stores are of different instruction-set targets, kernel versions or configurations, or when
// two of them have different numbers for one cell.
MergeSummary merge_stores(std::span<const std::filesystem::path> from, const std::filesystem::path& out);

}  // namespace graft::study
