// Shapes named after what they come from. A suite is a model written as a walk through its layers (bench/suites/*.cpp);
// every layer adds its cases, and a case that comes again is counted, not repeated. "MODEL/train" holds every pass at a batch
// size of training, "MODEL/infer" the forward passes at one of inference.
#pragma once
#include "bench/jobs.h"

namespace graft::bench {

enum class Mode { train, infer };

struct Suite {
  std::string_view name, source;         // what the shapes come from
  int64_t train_cpu, train_cuda, infer;  // default batch sizes; train_cpu: what two cores do in seconds
  void (*add)(Mode, int64_t batch);      // adds cases as tests/cases do
};

std::vector<Suite> suites();  // by name

struct RegisterSuite {
  explicit RegisterSuite(Suite);
};

// batch 0: the default for the backend.
std::vector<Job> suite_jobs(const Suite&, Mode, Backend, int64_t batch);

}  // namespace graft::bench
