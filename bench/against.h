// A run against a stored one, row by row.
#pragma once
#include <span>

#include "bench/result.h"
#include "bench/statistics.h"

namespace graft::bench {

struct Difference {
  std::string row;
  Verdict verdict = Verdict::unclear;
  Change change{};
  std::string why;  // of unclear
};

// Rows of graft that both have, by op, pass, dtype, shape, engine, version, cache, backend and threads. A row measured on
// another device or instruction set is an Error, never a difference. Where the machine itself was faster or slower by more
// than 5 % (its roofline), the verdict is unclear.
std::vector<Difference> compare_results(std::span<const Result> before, std::span<const Result> now);
std::string differences_text(std::span<const Difference>);

}  // namespace graft::bench
