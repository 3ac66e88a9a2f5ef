#include "bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/philox.h"

namespace graft::bench {

double quantile(std::vector<double> samples, double q) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(samples.begin(), samples.end());
  const double at = q * double(samples.size() - 1);
  const size_t i = size_t(at), next = std::min(i + 1, samples.size() - 1);
  return samples[i] + (at - double(i)) * (samples[next] - samples[i]);
}

double relative_noise(const std::vector<double>& samples) {
  const double iqr = quantile(samples, 0.75) - quantile(samples, 0.25);
  return 1.2533 * iqr / 1.349 / std::sqrt(double(samples.size())) / median(samples);
}

std::string_view name(Verdict v) {
  constexpr std::string_view kNames[] = {"faster", "slower", "same", "unclear"};
  return kNames[size_t(v)];
}

Change compare_samples(const std::vector<double>& before, const std::vector<double>& now, double margin) {
  constexpr int kResamples = 2000;
  const Philox random{stream_key(1, "bootstrap"), 0};
  uint64_t drawn = 0;
  const auto resampled_median = [&](const std::vector<double>& from) {
    std::vector<double> v(from.size());
    for (double& x : v) x = from[size_t(random.below(drawn++, from.size()))];
    return median(v);
  };
  std::vector<double> ratios;
  for (int i = 0; i < kResamples; ++i) {
    const double b = resampled_median(before);
    ratios.push_back(resampled_median(now) / b);
  }
  Change c{Verdict::unclear, median(now) / median(before), quantile(ratios, 0.025), quantile(ratios, 0.975)};
  if (c.low > 1 + margin) c.verdict = Verdict::slower;
  else if (c.high < 1 - margin) c.verdict = Verdict::faster;
  else if (c.low >= 1 - margin && c.high <= 1 + margin) c.verdict = Verdict::same;
  return c;
}

}  // namespace graft::bench
