// Samples of several candidates on the same arguments, taken in turns (A B A B): what disturbs the machine disturbs all.
#pragma once
#include "bench/arguments.h"

namespace graft::bench {

struct Plan {
  double seconds = 0.5;  // for each candidate; up to four times that for `least` undisturbed samples
  double noise = 0.005;  // done when the relative standard error of every median is below
  int least = 10, most = 100;
};

struct Samples {
  std::vector<double> seconds;  // of one call each
  int calls = 1;                // back to back in each sample
  int dropped = 0;              // samples that were disturbed, and are not among them
  bool disturbed = false;       // there were too few others: they are among them
  Sensors before, after;
};

std::vector<Samples> measure(Device&, Arguments&, const std::vector<Candidate>&, Cache, const Plan&);

}  // namespace graft::bench
