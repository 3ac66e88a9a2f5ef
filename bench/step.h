// Times a whole training step beside the machine's own peak, measured in the same run.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace graft::bench {

struct StepOptions {
  std::string model = "study_cnn";
  int64_t batch = 0, sequence = 0;  // samples; tokens of each. 0: the model's own, as in the peers' tables
  int threads = 1, repeats = 60;
  Device device = {};
  DType dtype = DType::f32;  // bf16: activations and a copy of the weights, f32 masters (nn/optim/masters.h)
  bool graph = false;        // cuda: the step is recorded once and replayed (kernels/runtime/cuda/graph.h)
};

struct StepResult {
  std::string model, target, device, dtype;
  std::string unit;            // of the rate: images, or tokens
  std::vector<int64_t> input;  // of one sample: [H, W, C] or [T]
  int64_t batch = 0, classes = 0, vocabulary = 0, parameters = 0;
  int threads = 0, repeats = 0;
  double forward_ms = 0, step_ms = 0, p10_ms = 0, p90_ms = 0;  // medians; step: forward, backward, update
  double per_second = 0;                                       // images or tokens
  double gflop = 0;        // of one step: 2 flops a multiply-add, three passes, no input gradient below the first block
  double gflops = 0;       // per second
  double peak_gflops = 0;  // of as many threads' FMA, or of the GPU (bf16: its tensor cores, nominal), in this run
  double first_loss = 0, last_loss = 0;
};

// A model of nn/models on random normal images, SGD with momentum, or on random tokens, AdamW.
StepResult time_step(const StepOptions&);

}  // namespace graft::bench
