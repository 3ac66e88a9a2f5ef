#include <doctest/doctest.h>

#include <cmath>

#include "transfer/study/criteria.h"

using namespace graft::study;

namespace {

Row row(Condition c, int64_t cut, const char* half, int64_t seed, std::optional<double> accuracy, const char* split = "random") {
  Row r;
  r.label.condition = c;
  r.label.cut = cut;
  r.label.half = half;
  r.label.seed = seed;
  r.label.partition = split;
  r.result.accuracy = accuracy;
  r.result.status = accuracy ? "done" : "diverged";
  return r;
}

// base .80 + seed/100 (+ .1 on B); AnB falls by 5 points a cut from base - 2, a little more in later seeds.
std::vector<Row> rows(int64_t seeds) {
  std::vector<Row> all;
  for (int64_t s = 0; s < seeds; ++s)
    for (const char* half : {"A", "B"}) {
      const double base = 0.70 + 0.01 * double(s) + (*half == 'B' ? 0.1 : 0);
      all.push_back(row(Condition::base, 0, half, s, base));
      for (int64_t n : {1, 2, 3}) {
        all.push_back(row(Condition::AnB, n, half, s, base - 0.02 - 0.05 * double(n) - 0.001 * double(s)));
        all.push_back(row(Condition::BnB, n, half, s, base - 0.01));
      }
    }
  return all;
}

StudyConfig with(const CriterionConfig& k) {
  StudyConfig c;
  c.criteria = {k};
  return c;
}

CriterionConfig criterion(const std::string& value, std::vector<int64_t> cuts, std::optional<double> least,
                          std::optional<double> most) {
  CriterionConfig k;
  k.name = "claim";
  k.value = value;
  k.split = "random";
  k.cuts = std::move(cuts);
  k.at_least = least;
  k.at_most = most;
  return k;
}

Verdict judge_one(const CriterionConfig& k, const std::vector<Row>& r) { return judge(with(k), {1, 2, 3}, r).front(); }

}  // namespace

TEST_CASE("study statistics: t quantiles equal SciPy's") {
  // scipy.stats.t.ppf(0.975, n), SciPy 1.17.1
  const std::pair<double, double> expected[] = {{1, 12.706204736174694},   {2, 4.302652729749462}, {3, 3.1824463052837078},
                                                {4, 2.7764451051977934},   {9, 2.262157162798205}, {30, 2.0422724563012378},
                                                {1000, 1.9623390808264083}};
  for (const auto& [n, t] : expected) CHECK(student_t_quantile(0.975, n) == doctest::Approx(t).epsilon(1e-12));
  CHECK(student_t_quantile(0.025, 4) == doctest::Approx(-2.7764451051977934).epsilon(1e-12));
  CHECK(student_t_cdf(0, 5) == doctest::Approx(0.5));
  CHECK(student_t_cdf(1.5, 7) == doctest::Approx(0.911350756505015).epsilon(1e-12));  // scipy.stats.t.cdf(1.5, 7)
}

TEST_CASE("study statistics: summary of five seeds by hand") {
  const double v[] = {1, 2, 3, 4, 5};  // mean 3, s = sqrt(2.5), half width 2.7764451 * s / sqrt(5)
  const Summary s = summarize(v);
  CHECK(s.mean == 3);
  REQUIRE(s.half_width);
  CHECK(*s.half_width == doctest::Approx(2.7764451051977934 * std::sqrt(0.5)).epsilon(1e-12));
  CHECK(s.positive == 5);
  CHECK_FALSE(summarize(std::span(v, 2)).half_width);  // points alone under three seeds
  const double signs[] = {-1, 0, 2};
  CHECK(summarize(signs).positive == 1);
  CHECK(summarize(signs).negative == 1);
  CHECK(std::isnan(summarize({}).mean));
}

TEST_CASE("study statistics: Spearman with ties equals SciPy's") {
  const double x[] = {1, 2, 3, 4, 5, 6};
  const double falling[] = {.7, .67, .65, .62, .56, .5};
  CHECK(spearman(x, falling) == doctest::Approx(-1));
  const double swapped[] = {.69, .70, .65, .62, .56, .5};
  CHECK(spearman(x, swapped) == doctest::Approx(-0.942857142857143));
  const double ties[] = {3, 3, 2, 2, 1, 5};
  CHECK(spearman(x, ties) == doctest::Approx(-0.08827348295047495));  // scipy.stats.spearmanr
  const double same[] = {1, 1, 1, 1, 1, 1};
  CHECK(std::isnan(spearman(x, same)));
}

TEST_CASE("study statistics: differences are paired by half and seed, halves averaged within a seed") {
  const auto r = rows(3);
  const Quantity q = quantity(r, "AnB - base", {"random", 0, 0}, 2);
  CHECK(q.points.size() == 6);
  REQUIRE(q.per_seed.size() == 3);
  for (int64_t s = 0; s < 3; ++s) CHECK(q.per_seed[size_t(s)].second == doctest::Approx(-12 - 0.1 * double(s)));
  CHECK(q.summary.mean == doctest::Approx(-12.1));
  CHECK(q.summary.negative == 3);
  CHECK(*q.summary.half_width == doctest::Approx(4.302652729749462 * 0.1 / std::sqrt(3.0)));
  CHECK(quantity(r, "specificity", {"random", 0, 0}, 2).summary.mean == doctest::Approx(11.1));
  CHECK(quantity(r, "coadaptation", {"random", 0, 0}, 2).summary.mean == doctest::Approx(1));
  CHECK(quantity(r, "AnB", {"elsewhere", 0, 0}, 2).points.empty());
}

TEST_CASE("study statistics: a diverged cell takes its pair out, and its seed out of the mean") {
  auto r = rows(3);
  for (Row& x : r)
    if (x.label.condition == Condition::AnB && x.label.cut == 2 && x.label.seed == 1 && x.label.half == "B")
      x.result.accuracy.reset();
  const Quantity q = quantity(r, "AnB - base", {"random", 0, 0}, 2);
  CHECK(q.points.size() == 5);
  CHECK(q.per_seed.size() == 2);
  CHECK(q.missing == 1);
  CHECK(judge_one(criterion("AnB - base", {2}, {}, -5), r).judgement == Judgement::not_judged);
}

TEST_CASE("study statistics: every quantity once") {
  const auto all = all_quantities(rows(3));
  int64_t specificity = 0, base = 0;
  for (const Quantity& q : all) {
    specificity += q.name == "specificity";
    base += q.name == "base";
  }
  CHECK(specificity == 3);
  CHECK(base == 1);
}

TEST_CASE("study criteria: size, sign and number of seeds") {
  const auto r = rows(3);
  CHECK(judge_one(criterion("AnB - base", {3}, {}, -12), r).judgement == Judgement::pass);
  CHECK(judge_one(criterion("AnB - base", {}, {}, -12), r).judgement == Judgement::fail);  // cut 1 is -7
  CHECK(judge_one(criterion("BnB - base", {}, -3, 3), r).judgement == Judgement::pass);
  CHECK(judge_one(criterion("BnB - base", {}, -0.5, 3), r).judgement == Judgement::fail);
  CHECK(judge_one(criterion("specificity", {3}, 10, {}), r).judgement == Judgement::pass);
  const Verdict few = judge_one(criterion("specificity", {3}, 10, {}), rows(2));
  CHECK(few.judgement == Judgement::not_judged);
  CHECK(few.reason == "2 seeds, needs 3");
  CriterionConfig two = criterion("specificity", {3}, 10, {});
  two.seeds = 2;
  CHECK(judge_one(two, rows(2)).judgement == Judgement::pass);

  CriterionConfig rank = criterion("AnB", {}, {}, -0.9);
  rank.over = CriterionConfig::Over::spearman;
  const Verdict v = judge_one(rank, r);
  CHECK(v.judgement == Judgement::pass);
  CHECK(v.value == doctest::Approx(-1));
  CHECK(v.needed == "at most -0.9");
}

TEST_CASE("study criteria: a large mean with a wrong sign in one seed fails unless the interval excludes 0") {
  std::vector<Row> r;
  const double gains[] = {0.30, 0.30, -0.01};
  for (int64_t s = 0; s < 3; ++s)
    for (const char* half : {"A", "B"}) {
      r.push_back(row(Condition::AnB, 1, half, s, 0.5));
      r.push_back(row(Condition::AnBplus, 1, half, s, 0.5 + gains[s]));
    }
  const Verdict v = judge_one(criterion("AnB+ - AnB", {1}, 8, {}), r);
  CHECK(v.value == doctest::Approx(59.0 / 3));
  CHECK(v.judgement == Judgement::fail);
  CHECK(v.reason.find("sign") != std::string::npos);
}

TEST_CASE("study criteria: excess over another split, mean over cuts") {
  auto r = rows(3);
  for (Row x : rows(3)) {
    x.label.partition = "far";
    if (x.label.condition == Condition::AnB) x.result.accuracy = *x.result.accuracy - 0.1;
    r.push_back(x);
  }
  CriterionConfig k = criterion("base - AnB", {2, 3}, 8, {});
  k.over = CriterionConfig::Over::mean;
  k.split = "far";
  k.minus_split = "random";
  const Verdict v = judge_one(k, r);
  CHECK(v.value == doctest::Approx(10));
  CHECK(v.judgement == Judgement::pass);
}
