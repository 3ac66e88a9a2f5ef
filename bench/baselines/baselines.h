// Other libraries as candidates of the same run, on the same arguments, verified like our own kernels. One file a library;
// each registers itself where it is compiled and gives nothing for a case that it cannot compute.
#pragma once
#include "bench/device.h"
#include "tests/harness/verify.h"

namespace graft::bench {

using MakeBaseline = std::vector<Candidate> (*)(Device&, const harness::Case&, DType);
struct RegisterBaseline {
  RegisterBaseline(Backend, MakeBaseline);
};
std::vector<Candidate> baselines(Device&, const harness::Case&, DType);

template <class P>
const P* params_of(const harness::Case& c) {
  return std::any_cast<P>(&c.params);
}

}  // namespace graft::bench
