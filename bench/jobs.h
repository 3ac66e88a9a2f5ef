// Which cases are run.
#pragma once
#include "bench/options.h"
#include "tests/harness/cases.h"

namespace graft::bench {

struct Job {
  harness::Case c;
  std::string suite;  // "basic": the bench tier of the case files; "tests": what the tests run
  int times = 1;      // how often the model calls it in one step
};

// In the order of ops.def. ConfigError with the nearest name for an unknown op, pass or suite, and when nothing is left.
std::vector<Job> select_jobs(const Options&);

std::string list_text(const std::vector<Job>&);

}  // namespace graft::bench
