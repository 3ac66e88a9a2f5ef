// The arguments of a case in a device's memory, and how they were before the call.
#pragma once
#include "bench/device.h"
#include "tests/harness/verify.h"

namespace graft::bench {

using Values = std::vector<std::vector<double>>;  // of each output argument; empty for inputs

class Arguments {
 public:
  Arguments(Device&, const harness::Case&, DType real);
  ~Arguments();
  Arguments(const Arguments&) = delete;

  std::vector<void*>& pointers() { return pointers_; }
  const std::vector<harness::Buffer>& initial() const { return initial_; }
  void restore();  // inputs as they were made, outputs NaN
  Values outputs();

 private:
  Device& device_;
  const harness::Case& case_;
  std::vector<harness::Buffer> initial_;
  std::vector<void*> pointers_;
};

double argument_bytes(const harness::Case&, DType real);

}  // namespace graft::bench
