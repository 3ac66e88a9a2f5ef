// Times are judged by order statistics: they are never normal, and a disturbed sample must not move the result.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace graft::bench {

double quantile(std::vector<double> samples, double q);  // between neighbours linearly; NaN of none
inline double median(const std::vector<double>& samples) { return quantile(samples, 0.5); }

// Relative standard error of the median, from the quartiles: 1.2533 sigma / sqrt(n) with sigma = IQR / 1.349.
double relative_noise(const std::vector<double>& samples);

enum class Verdict { faster, slower, same, unclear };
std::string_view name(Verdict);

struct Change {
  Verdict verdict;
  double ratio, low, high;  // of the medians, now / before, and its 95 % interval by bootstrap
};
// Differences below `margin` do not matter: `same` when the whole interval lies within it, faster or slower when the whole
// interval lies outside of it, unclear otherwise. The same samples give the same verdict.
Change compare_samples(const std::vector<double>& before, const std::vector<double>& now, double margin = 0.03);

}  // namespace graft::bench
