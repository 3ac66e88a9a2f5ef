#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "bench/statistics.h"

namespace graft::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Worker threads of the candidate before may still spin for work; they are asleep after this.
void let_others_sleep() { std::this_thread::sleep_for(std::chrono::microseconds(500)); }

}  // namespace

std::vector<Samples> measure(Device& device, Arguments& arguments, const std::vector<Candidate>& candidates, Cache cache,
                             const Plan& plan) {
  constexpr double kLeastSample = 200e-6;  // the clock ticks every 30 ns
  std::vector<Samples> all(candidates.size());
  const auto sample = [&](size_t i, int calls) {
    if (candidates.size() > 1) let_others_sleep();
    const Candidate& c = candidates[i];
    return c.time ? c.time(calls, cache) : device.time(c, arguments.pointers(), calls, cache);
  };
  for (size_t i = 0; i < candidates.size(); ++i) {
    const double once = sample(i, 1);
    all[i].calls = cache == Cache::cold ? 1 : int(std::clamp(std::ceil(kLeastSample / std::max(once, 1e-9)), 1.0, 1000.0));
    all[i].before = device.sensors();
  }
  const auto start = Clock::now();
  const double budget = plan.seconds * double(candidates.size());
  for (int n = 1; n <= plan.most; ++n) {
    for (size_t i = 0; i < candidates.size(); ++i) all[i].seconds.push_back(sample(i, all[i].calls));
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    // A slow call gives fewer samples, but enough for quartiles.
    if (n < plan.least && !(n >= 5 && elapsed > 4 * budget)) continue;
    bool quiet = true;
    for (Samples& s : all) quiet = (s.noise = relative_noise(s.seconds)) < plan.noise && quiet;
    if (quiet || elapsed > budget) break;
  }
  for (Samples& s : all) s.after = device.sensors(), s.noise = relative_noise(s.seconds);
  return all;
}

}  // namespace graft::bench
