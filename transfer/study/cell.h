// A cell of a study: one network trained and tested, a pure function of what its identity says.
#pragma once
#include <atomic>
#include <functional>
#include <memory>

#include "io/datasets/dataset.h"
#include "nn/chain.h"
#include "transfer/cache.h"
#include "transfer/study/config.h"

namespace graft::study {

// The columns that name a cell in tables.
struct CellLabel {
  Condition condition = Condition::base;
  int64_t cut = 0;  // 0 for base and base2x
  int64_t keep = 0;
  std::string source;     // data set of the source network; empty without one
  std::string target;     // data set
  std::string partition;  // name of the split
  std::string half;       // "A", "B": of the target; "S": the network of another data set that serves as source
  int64_t seed = 0;
  int64_t images_per_class = 0;  // of training

  std::string str() const;  // "AnB cut 3 half B seed 0 (random)"
  bool operator==(const CellLabel&) const = default;
};

// Images a cell trains and tests on: classes of a data set, relabelled 0..k-1, at the size the network takes.
struct CellData {
  io::Dataset train, test;
  transfer::Preprocessing preprocessing;
};

// Everything run_cell needs. Labels with the same key share one result.
struct Cell {
  CellLabel label;
  std::string key;         // 32 hex digits: the hash of
  std::string identity;    // everything that decides the numbers (key.h)
  std::string source_key;  // of the base network whose blocks are taken; empty without one
  bool shared = false;     // others take blocks of this network: its weights are saved
  int data = 0;            // index of the data in the grid
};

struct CellResult {
  std::string status;              // "done", "diverged", "source diverged"
  std::optional<double> accuracy;  // fraction of the test images; absent unless done
  std::optional<double> loss;      // mean cross-entropy on them
  int64_t items = 0, correct = 0;
  int64_t epochs = 0, steps = 0;  // trained
  double seconds = 0;             // all of the cell: cache, training, test
  double train_seconds = 0;
  double prefix_seconds = 0;  // computing the cached activations once
  int64_t prefix_blocks = 0;  // blocks that were cached; 0 without the cache
  std::string weights_hash;   // of the final parameters and buffers, 16 hex digits
  std::string layer_table, proof;
  std::vector<transfer::EpochRecord> curve;
};

struct CellHooks {
  std::function<void(const transfer::TrainProgress&)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

// The network of a cell before training. `source` holds the blocks to take; null when the condition takes none.
// Streams: base networks draw block L of half H from (seed, "base/H/L"), fresh blocks above a cut from (seed, "fresh/H/L")
// in every condition, the random filters of RnB from (seed, "random/H/L").
std::unique_ptr<nn::Chain> make_network(const StudyConfig&, const CellLabel&, const Shape& input, int64_t classes,
                                        const nn::Chain* source);

// Trains, proves that what was frozen kept its bits, then reads the test labels, once. cache may be null; it changes time,
// never numbers. Throws Interrupted when cancelled.
CellResult run_cell(const StudyConfig&, const Cell&, const CellData&, nn::Chain& network, transfer::PrefixCache* cache,
                    const CellHooks& = {});

// The training of a cell: base2x is stretched, the preprocessing is that of the data.
transfer::TrainConfig train_config(const StudyConfig&, Condition, const transfer::Preprocessing&);

}  // namespace graft::study
