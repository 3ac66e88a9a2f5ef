// Runs the cells of a study side by side, and picks up where an earlier run ended.
#pragma once
#include "transfer/study/criteria.h"
#include "transfer/study/estimate.h"

namespace graft::study {

struct Shard {
  int64_t index = 1, count = 1;  // 1 .. count
};
Shard parse_shard(std::string_view text);  // "2/4"; ConfigError

struct RunOptions {
  std::filesystem::path out;                      // folder of the store, made if absent
  std::optional<int64_t> seeds;                   // instead of the configuration's
  Device device;                                  // that computes
  int jobs = 0;                                   // cells side by side; 0: one per core, on another device than cpu one
  Shard shard;                                    // its cells, and the base networks that they take from
  bool no_cache = false;                          // compute frozen prefixes again in every step
  size_t cache_memory = size_t{1} << 30;          // bytes; more spills into out/cache
  int64_t calibration_steps = 8;                  // of each measurement for the estimate; 0: none
  std::string commit;                             // of the program, recorded
  const std::atomic<bool>* cancel = nullptr;      // set by a signal handler
  DataProvider provider;                          // empty: io::load_splits
  std::function<void(std::string_view)> on_step;  // tests: the steps of a commit
};

// Told what happens; one call at a time, from any thread. `slot` is the job, 0 .. jobs-1.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void study_started(const Grid&, const Estimate&, int64_t /*to_run*/, int64_t /*already_done*/, int /*jobs*/) {}
  virtual void cell_started(int /*slot*/, const Cell&) {}
  virtual void cell_training(int /*slot*/, const Cell&, const transfer::TrainProgress&) {}  // figures of training only
  virtual void cell_finished(int /*slot*/, const Cell&, const CellResult&, int64_t /*done*/, int64_t /*of*/) {}
  virtual void message(const std::string&) {}
};

struct RunSummary {
  int64_t cells = 0;     // of the grid
  int64_t run = 0;       // networks trained now
  int64_t reused = 0;    // results that were there
  int64_t diverged = 0;  // of those trained now
  double seconds = 0;
};

// ConfigError and LoadError as Grid and Store say; Interrupted after the cells at work were given up and all finished ones
// saved: the same call goes on from there. Results do not depend on jobs, shard, cache, order or interruptions.
RunSummary run_study(StudyConfig, const RunOptions&, Progress&);

// The grid and its cost; nothing is trained (but for the few steps of the measurement) or written.
struct DryRun {
  std::unique_ptr<Grid> grid;
  Estimate estimate;
};
DryRun dry_run(StudyConfig, const RunOptions&);

}  // namespace graft::study
