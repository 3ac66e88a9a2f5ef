// The roofline of this machine as it is now: measured in the run that it judges.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/common/context.h"

namespace graft::bench {

double fma_peak(int threads);  // GFLOP/s, fp32

struct Bandwidth {
  int64_t working_set;  // bytes that are read and written again and again
  double gbs;           // the best of read, copy and triad, with and without the cache on the way to memory
};
// From a first-level cache's size to `largest`, ascending.
std::vector<Bandwidth> bandwidths(ThreadPool&, int64_t largest);

struct Roofline {
  double gflops = 0;         // peak of the arithmetic that a plain fp32 kernel uses
  double tensor_gflops = 0;  // of tensor cores, where there are any: nominal, see the device
  std::vector<Bandwidth> bandwidths;
  double memory_gbs = 0;        // beyond every cache
  std::vector<Bandwidth> cold;  // of one pass over as many bytes, which no cache has; ascending. Empty: memory_gbs, however few

  // Of data that was used just before: what the largest measured working set within `bytes` gives.
  double cached_gbs(double bytes) const;
  // Of so many bytes in no cache: the time of the pass is linear between two that were measured.
  double cold_gbs(double bytes) const;
};

// The best of two measurements: a disturbance only ever lowers one.
Roofline best(const Roofline&, const Roofline&);

}  // namespace graft::bench
