#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/statistics.h"

namespace graft::bench {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

std::vector<Samples> measure(Device& device, Arguments& arguments, const std::vector<Candidate>& candidates, Cache cache,
                             const Plan& plan) {
  constexpr double kLeastSample = 200e-6;  // the clock ticks every 30 ns
  std::vector<Samples> all(candidates.size());
  std::vector<std::vector<double>> disturbed(candidates.size());
  const auto sample = [&](size_t i, int calls) {
    const Candidate& c = candidates[i];
    return c.time ? c.time(calls, cache) : device.time(c, arguments.pointers(), calls, cache);
  };
  for (size_t i = 0; i < candidates.size(); ++i) {
    const double once = std::min(sample(i, 1).seconds, sample(i, 1).seconds);
    all[i].calls = cache == Cache::cold ? 1 : int(std::clamp(std::ceil(kLeastSample / std::max(once, 1e-9)), 1.0, 1000.0));
    all[i].before = device.sensors();
  }
  const auto start = Clock::now();
  const double budget = plan.seconds * double(candidates.size());
  for (int n = 1; n <= plan.most; ++n) {
    size_t fewest = SIZE_MAX;
    bool quiet = true;
    for (size_t i = 0; i < candidates.size(); ++i) {
      const Timing t = sample(i, all[i].calls);
      (t.disturbed ? disturbed[i] : all[i].seconds).push_back(t.seconds);
      fewest = std::min(fewest, all[i].seconds.size());
      quiet = quiet && fewest >= size_t(plan.least) && relative_noise(all[i].seconds) < plan.noise;
    }
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    if (quiet || (elapsed > budget && fewest >= size_t(plan.least)) || (elapsed > 4 * budget && n >= 5)) break;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].after = device.sensors();
    all[i].dropped = int(disturbed[i].size());
    if (all[i].seconds.size() >= 5) continue;
    all[i].seconds.insert(all[i].seconds.end(), disturbed[i].begin(), disturbed[i].end());
    all[i].dropped = 0, all[i].disturbed = true;
  }
  return all;
}

}  // namespace graft::bench
