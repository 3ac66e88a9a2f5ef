// Fails a test case where a kernel did not write what the oracle did, by the tolerance that follows from the case (verify.h).
#pragma once
#include <doctest/doctest.h>

#include "tests/harness/verify.h"

namespace graft::harness {

inline void check_outputs(const Case& c, std::vector<Buffer>& actual, std::vector<Buffer>& expected, DType real = DType::f32) {
  const Comparison r = compare_outputs(c, output_values(c, actual), output_values(c, expected), real);
  CHECK_MESSAGE(r.ok, r.report);
}

}  // namespace graft::harness
