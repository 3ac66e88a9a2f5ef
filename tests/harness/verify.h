// What it means that a run of a case equals the oracle: for the tests and the benchmark alike.
#pragma once
#include <span>
#include <vector>

#include "tests/harness/cases.h"
#include "tests/harness/compare.h"

namespace graft::harness {

inline bool is_output(const Arg& a) { return a.role == Arg::output || a.role == Arg::in_out; }

// One list for each argument; empty for inputs.
std::vector<std::vector<double>> output_values(const Case&, std::span<const Buffer>);
// The first argument that differs, in the report. products: what these are rounded to, where it is not to fp32.
Comparison compare_outputs(const Case&, const std::vector<std::vector<double>>& actual,
                           const std::vector<std::vector<double>>& expected, DType real, double products = 0x1p-23);

}  // namespace graft::harness
