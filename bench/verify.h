// Verify, then time: a candidate that has not just matched is not timed.
#pragma once
#include <optional>

#include "bench/arguments.h"

namespace graft::bench {

struct Reference {
  Values outputs;
  std::string method;  // "ref f64": the scalar oracle; or what stands in for it where that would take minutes
};

// ref in double up to `largest_gflop`. Beyond: the cpu kernel in fp32 (verified by the tests) where another device is judged;
// on cpu another library, since a kernel cannot vouch for itself. Nothing where there is none.
std::optional<Reference> reference(Device&, Arguments&, const harness::Case&, DType real, const std::vector<Candidate>& others,
                                   double largest_gflop);

// Runs the candidate once on restored arguments. Throws what the kernel throws.
harness::Comparison verify(Device&, Arguments&, const harness::Case&, DType real, const Candidate&, const Reference&);

}  // namespace graft::bench
