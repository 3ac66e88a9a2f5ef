// Training: images and labels in, trained weights and a record out. A pure function of its inputs, bit for bit, whatever
// the number of threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "transfer/preprocess.h"
#include "transfer/proof.h"

namespace graft::nn {
class Chain;
}
namespace graft::io {
struct Dataset;
}

namespace graft::transfer {

class Activations;

// The defaults are the recipe of the study CNN: SGD with momentum, the rate x0.1 at 60 % and x0.01 at 85 % of the steps.
struct TrainConfig {
  int64_t epochs = 10;
  double stretch = 1;  // the same schedule over this many times the steps (base2x: 2)
  int64_t batch = 50;  // images; the last batch of an epoch holds the rest
  double lr = 0.02;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-4;
  double bias_lr_multiplier = 1;     // of every parameter named "bias" (2014: 2)
  double bias_decay_multiplier = 1;  // (2014: 0)
  std::string schedule = "step";     // constant | step | cosine | one_cycle | slanted_triangular
  double warmup = 0;                 // fraction of the steps with a linearly rising rate
  double clip_norm = 0;              // global gradient norm; 0: no clipping
  double label_smoothing = 0;
  std::string precision = "f32";  // f32 | bf16: activations and weights rounded, f32 masters of the weights, norms and losses f32
  Preprocessing preprocessing;

  std::string str() const;  // every field that decides the result, in a fixed order: part of a cell's identity
};

// Named random streams (kernels/common/philox.h: stream_key): the order of the images and the dropout masks.
struct TrainKeys {
  uint64_t batch_order = 0;
  uint64_t dropout = 0;
};

// Live figures; all of training, none of test.
struct TrainProgress {
  int64_t epoch = 0, epochs = 0;  // epoch counts from 1
  int64_t step = 0, steps = 0;    // steps done, steps in all
  double loss = 0;                // mean over the images of this epoch so far
  double accuracy = 0;            // the same, of the outputs that training computed
  double images_per_second = 0;
  double seconds_left = 0;
};

struct TrainHooks {
  std::function<void(const TrainProgress&)> progress;  // every `every` steps and after the last
  int64_t every = 10;
  const std::atomic<bool>* cancel = nullptr;  // when true: Interrupted at the next step boundary
  // Saved every `checkpoint_every` steps and when cancelled; an existing one of the same inputs is resumed from, and
  // removed when the training is complete. Resumed or not, the final bits are the same.
  std::filesystem::path checkpoint;
  int64_t checkpoint_every = 0;  // 0: only when cancelled
};

enum class TrainStatus { done, diverged };
std::string_view name(TrainStatus);

struct EpochRecord {
  double loss = 0, accuracy = 0;  // means over the images of the epoch, of the outputs that training computed
};

struct TrainResult {
  TrainStatus status = TrainStatus::done;
  int64_t steps = 0;           // done; fewer than planned when diverged
  std::vector<double> losses;  // of every step
  std::vector<EpochRecord> epochs;
  double seconds = 0;
  double images_per_second = 0;
  ProofReport proof;  // what was frozen and did not change, what was trained and did
};

// Trains the parameters of `chain` that require a gradient on `train` (labels 0 .. classes-1). A loss or a weight that is
// not finite ends it with status diverged. With `prefix`, images pass the first prefix->blocks() blocks as cached.
// Throws DeviceError (precision bf16 on a device without such kernels), ConfigError (bad configuration, nothing trainable, prefix
// and random augmentation together, a prefix of other weights or data), ShapeError, Interrupted, and InternalError when a frozen
// tensor changed.
TrainResult train(nn::Chain& chain, const io::Dataset& train, const TrainKeys&, const TrainConfig&, const TrainHooks& = {},
                  const Activations* prefix = nullptr);

// Steps that train() will take.
int64_t total_steps(const TrainConfig&, int64_t images);

}  // namespace graft::transfer
