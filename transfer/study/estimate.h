// What a grid will cost, before it is run: multiply-adds from the layer table, seconds from a short measurement.
#pragma once
#include "transfer/study/grid.h"

namespace graft::study {

// Multiply-adds of one cell. Training costs a forward pass, and for every trained block its weight gradient and (but for
// the lowest) its input gradient, each as much as its forward pass.
struct CellCost {
  double multiply_adds = 0;  // with the prefix cache
  double multiply_adds_uncached = 0;
  double seconds = 0, seconds_uncached = 0;  // of one job; 0 until calibrated
};

struct Estimate {
  std::vector<CellCost> cells;  // as Grid::cells; shared results count at their first cell, the others are 0
  int jobs = 1;
  double seconds = 0, seconds_uncached = 0;  // of the whole grid with this number of jobs
  int64_t to_run = 0;                        // cells, one per key
  double saving() const { return seconds_uncached > 0 ? 1 - seconds / seconds_uncached : 0; }  // fraction
};

struct EstimateOptions {
  int jobs = 1;
  int64_t steps = 8;                      // of each measurement, in all jobs at once; 0: multiply-adds only
  std::function<bool(const Cell&)> skip;  // of the totals: cells that are done or of another shard
};
Estimate estimate(Grid&, const EstimateOptions&);

// Cores of this process (or GRAFT_THREADS), shared by the jobs: threads of one job.
int job_threads(int jobs);

std::string to_text(const Grid&, const Estimate&);  // the table of --dry-run: a line per condition and cut

}  // namespace graft::study
