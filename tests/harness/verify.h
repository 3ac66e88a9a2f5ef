// What it means that a run of a case equals the oracle: for the tests and the benchmark alike.
#pragma once
#include <span>
#include <vector>

#include "tests/harness/cases.h"
#include "tests/harness/compare.h"

namespace graft::harness {

inline bool is_output(const Arg& a) { return a.role == Arg::output || a.role == Arg::in_out; }

// How a backend computes, where it is not plain fp32: what its products and its outputs are rounded to.
struct Precision {
  double products = 0x1p-23;
  double stored = 0;
  double inside = 0;  // of intermediate results of either sign
};
Precision precision_of(const Case&, DType real);

// One list for each argument; empty for inputs.
std::vector<std::vector<double>> output_values(const Case&, std::span<const Buffer>);
// The first argument that differs, in the report.
Comparison compare_outputs(const Case&, const std::vector<std::vector<double>>& actual,
                           const std::vector<std::vector<double>>& expected, Precision);

}  // namespace graft::harness
