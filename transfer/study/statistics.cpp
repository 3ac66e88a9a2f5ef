#include "transfer/study/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace graft::study {

namespace {

// Regularised incomplete beta function I_x(a, b) by its continued fraction (Lentz's method), which converges fast for
// x < (a + 1) / (a + b + 2); the symmetry I_x(a, b) = 1 - I_{1-x}(b, a) covers the rest.
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x)) / a;
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), f = d;
  for (int m = 1; m < 1000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double change = 1;
    for (double numerator : {even, odd}) {
      d = 1 + numerator * d;
      c = 1 + numerator / c;
      if (std::abs(d) < kTiny) d = kTiny;
      if (std::abs(c) < kTiny) c = kTiny;
      d = 1 / d;
      change = c * d;
      f *= change;
    }
    if (std::abs(change - 1) < 1e-15) break;
  }
  return front * f;
}

std::vector<double> ranks(std::span<const double> v) {
  std::vector<size_t> order(v.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t i, size_t j) { return v[i] < v[j]; });
  std::vector<double> r(v.size());
  for (size_t i = 0, j; i < order.size(); i = j) {
    for (j = i; j < order.size() && v[order[j]] == v[order[i]]; ++j) {
    }
    for (size_t k = i; k < j; ++k) r[order[k]] = double(i + j + 1) / 2;
  }
  return r;
}

constexpr std::pair<const char*, std::pair<Condition, Condition>> kDecomposition[] = {
    {"coadaptation", {Condition::base, Condition::BnB}},
    {"specificity", {Condition::BnB, Condition::AnB}},
    {"boost", {Condition::AnBplus, Condition::base}},
    {"selfer_boost", {Condition::BnBplus, Condition::base}},
    {"transfer_credit", {Condition::AnBplus, Condition::BnBplus}}};

// Whether a cell of this condition stands for the selection's keep: only BnB and AnB have cells of their own per keep.
bool at(const CellLabel& l, Condition condition, const Selection& s, int64_t cut) {
  const bool kept = condition == Condition::BnB || condition == Condition::AnB;
  return l.condition == condition && l.partition == s.partition && l.images_per_class == s.images_per_class && l.half != "S" &&
         l.keep == (kept ? s.keep : 0) && l.cut == (has_cut(condition) ? cut : 0);
}

}  // namespace

double student_t_cdf(double t, double n) {
  const double tail = incomplete_beta(n / 2, 0.5, n / (n + t * t)) / 2;
  return t > 0 ? 1 - tail : tail;
}

double student_t_quantile(double p, double n) {
  check<ConfigError>(p > 0 && p < 1 && n > 0, "student_t_quantile: expected 0 < p < 1 and degrees > 0, got {} and {}", p, n);
  if (p < 0.5) return -student_t_quantile(1 - p, n);
  double low = 0, high = 1;
  while (student_t_cdf(high, n) < p && high < 1e300) high *= 2;
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (student_t_cdf(middle, n) < p ? low : high) = middle;
  }
  return high;
}

double spearman(std::span<const double> x, std::span<const double> y) {
  check<ConfigError>(x.size() == y.size(), "spearman: {} and {} values", x.size(), y.size());
  if (x.size() < 2) return std::nan("");
  const std::vector<double> rx = ranks(x), ry = ranks(y);
  const double mean = (double(x.size()) + 1) / 2;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < rx.size(); ++i) {
    xx += (rx[i] - mean) * (rx[i] - mean);
    yy += (ry[i] - mean) * (ry[i] - mean);
    xy += (rx[i] - mean) * (ry[i] - mean);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : std::nan("");
}

Summary summarize(std::span<const double> v) {
  Summary s;
  s.seeds = int64_t(v.size());
  if (v.empty()) {
    s.mean = std::nan("");
    return s;
  }
  const double n = double(v.size());
  s.mean = std::accumulate(v.begin(), v.end(), 0.0) / n;
  double squares = 0;
  for (double x : v) {
    squares += (x - s.mean) * (x - s.mean);
    s.positive += x > 0;
    s.negative += x < 0;
  }
  if (v.size() >= 3) s.half_width = student_t_quantile(0.975, n - 1) * std::sqrt(squares / (n - 1) / n);
  return s;
}

std::optional<ValueTerms> value_terms(std::string_view value) {
  for (const auto& [name, terms] : kDecomposition)
    if (value == name) return ValueTerms{terms.first, terms.second};
  const size_t minus = value.find(" - ");
  const auto plus = condition_from_name(value.substr(0, minus));
  if (!plus) return {};
  if (minus == value.npos) return ValueTerms{*plus, {}};
  const auto other = condition_from_name(value.substr(minus + 3));
  if (!other) return {};
  return ValueTerms{*plus, other};
}

Quantity quantity(const std::vector<Row>& rows, const std::string& value, const Selection& selection, int64_t cut) {
  const auto terms = value_terms(value);
  check<ConfigError>(terms.has_value(), "value: '{}' is neither a name nor a difference of two conditions", value);
  Quantity q{value, selection, cut, {}, {}, {}, 0};
  // Target halves and seeds there are at all; every one that lacks a term is missing.
  std::map<std::pair<int64_t, std::string>, std::pair<std::optional<double>, std::optional<double>>> pairs;
  for (const Row& r : rows) {
    if (r.label.partition != selection.partition || r.label.images_per_class != selection.images_per_class || r.label.half == "S")
      continue;
    auto& pair = pairs[{r.label.seed, r.label.half}];
    if (at(r.label, terms->plus, selection, cut)) pair.first = r.result.accuracy;
    if (terms->minus && at(r.label, *terms->minus, selection, cut)) pair.second = r.result.accuracy;
  }
  std::map<int64_t, std::pair<double, int>> seeds;
  for (const auto& [where, pair] : pairs) {
    if (!pair.first || (terms->minus && !pair.second)) {
      ++q.missing;
      continue;
    }
    const double v = 100 * (*pair.first - (terms->minus ? *pair.second : 0));
    q.points.push_back({where.first, where.second, v});
    seeds[where.first].first += v;
    seeds[where.first].second += 1;
  }
  std::vector<double> means;
  for (const auto& [seed, sum] : seeds)
    if (sum.second == 2) {
      q.per_seed.emplace_back(seed, sum.first / 2);
      means.push_back(sum.first / 2);
    }
  q.summary = summarize(means);
  return q;
}

std::vector<Quantity> all_quantities(const std::vector<Row>& rows) {
  std::set<Selection> selections;
  std::set<int64_t> cuts = {0};
  for (const Row& r : rows) {
    if (r.label.half == "S") continue;
    selections.insert({r.label.partition, r.label.images_per_class, r.label.keep});
    cuts.insert(r.label.cut);
  }
  std::vector<std::string> values;
  constexpr Condition kAll[] = {Condition::base, Condition::base2x,  Condition::BnB, Condition::BnBplus,
                                Condition::AnB,  Condition::AnBplus, Condition::RnB};
  for (Condition c : kAll) values.emplace_back(name(c));
  for (Condition c : kAll)
    if (c != Condition::base) values.push_back(fmt::format("{} - base", name(c)));
  values.insert(values.end(), std::begin(kDerived), std::end(kDerived));
  std::vector<Quantity> all;
  for (const Selection& s : selections)
    for (const std::string& value : values) {
      const ValueTerms terms = *value_terms(value);
      const bool cutless = !has_cut(terms.plus) && (!terms.minus || !has_cut(*terms.minus));
      for (int64_t cut : cuts) {
        if ((cut == 0) != cutless) continue;
        Quantity q = quantity(rows, value, s, cut);
        if (!q.points.empty()) all.push_back(std::move(q));
      }
    }
  return all;
}

}  // namespace graft::study
