// Paired statistics: every comparison is on the same target half and seed. Halves are averaged within a seed; seeds are
// the sample.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "transfer/study/store.h"

namespace graft::study {

// Of one number per seed.
struct Summary {
  int64_t seeds = 0;
  double mean = 0;
  std::optional<double> half_width;    // of the 95 % t-interval of the mean; absent under 3 seeds
  int64_t positive = 0, negative = 0;  // sign count
};
Summary summarize(std::span<const double> per_seed);

double student_t_cdf(double t, double degrees);
double student_t_quantile(double p, double degrees);  // inverse of the above; degrees > 0, 0 < p < 1
// Rank correlation, ties at their mean rank. NaN under 2 values or when one side is constant.
double spearman(std::span<const double> x, std::span<const double> y);

// Selects cells of one series.
struct Selection {
  std::string partition;
  int64_t images_per_class = 0;
  int64_t keep = 0;
  auto operator<=>(const Selection&) const = default;
};

struct Point {
  int64_t seed;
  std::string half;
  double value;  // percentage points
};

// A value at one cut: an accuracy or a paired difference, in percentage points.
struct Quantity {
  std::string name;  // as in value_terms
  Selection selection;
  int64_t cut = 0;                                   // 0 for a condition without a cut
  std::vector<Point> points;                         // per seed and half
  std::vector<std::pair<int64_t, double>> per_seed;  // seeds with both halves: their mean
  Summary summary;                                   // of per_seed
  int64_t missing = 0;                               // pairs of seed and half without both values: not run, or diverged
};

// What can be asked for: a condition ("AnB"), a difference of two ("AnB+ - base"), or a name of the decomposition:
//   coadaptation = base - BnB, specificity = BnB - AnB, boost = AnB+ - base, selfer_boost = BnB+ - base,
//   transfer_credit = AnB+ - BnB+.
struct ValueTerms {
  Condition plus;
  std::optional<Condition> minus;
};
std::optional<ValueTerms> value_terms(std::string_view value);
inline constexpr const char* kDerived[] = {"coadaptation", "specificity", "boost", "selfer_boost", "transfer_credit"};

// `value` at `cut` over the rows of a selection. A condition without a cut stands at every cut, one with keep = 0 only
// (base, base2x, BnB+ and AnB+ need none) at every keep.
Quantity quantity(const std::vector<Row>&, const std::string& value, const Selection&, int64_t cut);

// Every condition's accuracy, its difference from base, and the decomposition, for every selection and cut with a point.
std::vector<Quantity> all_quantities(const std::vector<Row>&);

}  // namespace graft::study
