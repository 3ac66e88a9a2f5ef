// Times a whole training step beside the machine's own peak, measured in the same run.
#pragma once
#include <cstdint>
#include <string>

namespace graft::bench {

struct StepResult {
  std::string model, target;
  int64_t batch = 0;
  int threads = 0, repeats = 0;
  double forward_ms = 0, step_ms = 0, p10_ms = 0, p90_ms = 0;  // medians; step: forward, backward, update
  double images_per_second = 0;
  double gflop = 0;        // of one step: 2 flops a multiply-add, three passes, no input gradient below the first block
  double gflops = 0;       // per second
  double peak_gflops = 0;  // FMA peak with as many threads, in this run
  double first_loss = 0, last_loss = 0;
};

// A study CNN (or another model) on random normal images 32 x 32 x 3 and 5 classes; SGD with momentum.
StepResult time_step(const std::string& model, int64_t batch, int threads, int repeats);

}  // namespace graft::bench
