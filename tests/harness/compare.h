// The one comparator. Fails on a NaN or Inf that is not expected, on a wrong count, and on !(error <= tolerance).
#pragma once
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>

namespace graft::harness {

struct Tolerance {
  double absolute = 0;
  double relative = 0;  // of max(|expected|, scale)
  double scale = 0;     // typical size of the expected values: an output near zero is as exact as its neighbours
  double stored = 0;    // of |expected|: the output is rounded to a shorter type when it is stored
  size_t line = 0;      // > 0: so many neighbours have one size, and their rms takes the place of a smaller scale
};

struct Comparison {
  bool ok = true;
  std::string report;  // worst element and how many fail, empty if ok
};

inline double finite_rms(std::span<const double> values) {
  double sum = 0;
  for (double v : values) sum += std::isfinite(v) ? v * v : 0;
  return values.empty() ? 0 : std::sqrt(sum / double(values.size()));
}

// Error bound of a result that sums `reduction` rounded products in some fixed order: eps (16 + 8 sqrt(reduction)) of
// the typical output. Rounding errors of either sign grow as the square root (Higham & Mary 2019); a lost or doubled
// term changes the result by about 1/sqrt(reduction) and shows as long as reduction < 10^6.
inline Tolerance rounding(double eps, double reduction, std::span<const double> expected) {
  return {.absolute = std::numeric_limits<float>::min(),
          .relative = eps * (16 + 8 * std::sqrt(reduction)),
          .scale = finite_rms(expected)};
}

template <class T>
Comparison compare(std::span<const T> actual, std::span<const double> expected, Tolerance t) {
  if (actual.size() != expected.size()) return {false, fmt::format("expected {} values, got {}", expected.size(), actual.size())};
  size_t failures = 0, worst = 0;
  double worst_ratio = -1, scale = t.scale;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double a = double(actual[i]), e = expected[i];
    if (t.line && i % t.line == 0) scale = std::max(t.scale, finite_rms(expected.subspan(i, std::min(t.line, actual.size() - i))));
    if (std::isnan(e) && std::isnan(a)) continue;
    if (std::isinf(e) && a == e) continue;
    const double bound = t.absolute + t.relative * std::max(std::abs(e), scale) + t.stored * std::abs(e);
    if (std::isfinite(e) && std::abs(a - e) <= bound) continue;  // false for NaN
    ++failures;
    const double ratio = std::abs(a - e) / bound;
    const double r = std::isfinite(ratio) ? ratio : std::numeric_limits<double>::infinity();
    if (r > worst_ratio) worst_ratio = r, worst = i;
  }
  if (!failures) return {};
  return {false, fmt::format("{} of {} fail; worst at {}: expected {:.9g}, got {:.9g}, {:.3g} times the tolerance", failures,
                             actual.size(), worst, expected[worst], double(actual[worst]), worst_ratio)};
}

}  // namespace graft::harness
