// Batches for training and evaluation: shuffled, augmented and normalised, ahead of the trainer where workers are given.
// Batch number b is a pure function of (data set, options, b): the same sequence with any number of workers.
#pragma once
#include <memory>
#include <vector>

#include "io/datasets/augment.h"
#include "io/datasets/dataset.h"

namespace graft::io {

enum class LastBatch { keep, drop };  // what happens to a partial one

struct LoaderOptions {
  int64_t batch_size = 50;
  bool shuffle = true;  // false: data set order
  LastBatch last_batch = LastBatch::keep;
  uint64_t key = 0;  // names the streams of order and augmentation
  Normalization normalization = {};
  Augment augment = {};
  int workers = 0;       // threads; 0: next() computes the batch itself
  int64_t prefetch = 4;  // batches ready or in work at most, with workers
};

struct Batch {
  Tensor x;                    // f32 [n, H, W, C]
  Tensor labels;               // i64 [n]
  std::vector<int64_t> items;  // data set indices, [n]
  int64_t epoch = 0;
  int64_t index = 0;  // within the epoch
};

class Loader {
 public:
  Loader(Dataset, LoaderOptions);  // ConfigError: an option out of range, or fewer items than a batch with LastBatch::drop
  ~Loader();                       // stops and joins the workers
  Loader(const Loader&) = delete;

  int64_t batches_per_epoch() const;
  Shape item_shape() const;  // [H', W', C] after augmentation
  bool random() const;       // true when an item differs between epochs
  const Dataset& dataset() const;

  // The next batch; epoch follows epoch without end. Rethrows what a worker threw.
  Batch next();
  void seek(int64_t batch);  // makes `batch`, counted from the start of epoch 0, the next one

  // The permutation of one epoch: Fisher-Yates with Philox draws from (key, epoch).
  std::vector<int64_t> order(int64_t epoch) const;
  Batch batch(int64_t number) const;  // computed here and now

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace graft::io
