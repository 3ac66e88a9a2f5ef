#include "transfer/study/criteria.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace graft::study {

namespace {

// One number to judge, per seed, with where it stands.
struct Claim {
  std::string where;  // " at cut 6"
  double value = 0;   // on the means over seeds
  std::vector<double> per_seed;
};

class Judge {
 public:
  Judge(const CriterionConfig& k, const StudyConfig& config, const std::vector<int64_t>& grid_cuts, const std::vector<Row>& rows)
      : k_(k), rows_(rows), images_(k.images_per_class ? k.images_per_class : config.images_per_class) {
    const auto terms = *value_terms(k.value);
    const bool cutless = !has_cut(terms.plus) && (!terms.minus || !has_cut(*terms.minus));
    cuts_ = !k.cuts.empty() ? k.cuts : cutless ? std::vector<int64_t>{0} : grid_cuts;
  }

  Verdict verdict() {
    Verdict v{k_.name, "-", needed(), Judgement::not_judged, "", std::nan("")};
    for (int64_t cut : cuts_)
      if (!collect(cut)) {
        v.reason = fmt::format("{} of {} has cells that are missing or diverged at cut {}", k_.value, missing_in_, cut);
        return v;
      }
    if (seeds_ < k_.seeds) {
      v.reason = fmt::format("{} seed{}, needs {}", seeds_, seeds_ == 1 ? "" : "s", k_.seeds);
      return v;
    }
    const std::vector<Claim> claims = make_claims();
    // The claim that decides is the one with the least room to its band; one that fails goes first.
    const auto worst = std::ranges::min_element(claims, {}, [&](const Claim& c) { return room(c) - (signs_right(c) ? 0 : 1e6); });
    v.value = worst->value;
    v.measured = measured(*worst);
    if (!(room(*worst) >= 0)) v.reason = fmt::format("outside the band{}", worst->where);
    else if (!signs_right(*worst))
      v.reason = fmt::format("the sign is not right in every seed and the interval holds 0{}", worst->where);
    v.judgement = v.reason.empty() ? Judgement::pass : Judgement::fail;
    return v;
  }

 private:
  // Reads the value at a cut, less that of the other split; false when a pair of any seed is missing.
  bool collect(int64_t cut) {
    auto& at_cut = values_.emplace_back();
    const auto read = [&](const std::string& split, double sign) {
      const Quantity q = quantity(rows_, k_.value, {split, images_, k_.keep}, cut);
      missing_in_ = split;
      if (q.missing || q.per_seed.empty()) return false;
      std::map<int64_t, double> seeds;
      for (const auto& [seed, value] : q.per_seed) seeds[seed] = sign * value;
      if (sign > 0) return at_cut = seeds, true;
      for (auto it = at_cut.begin(); it != at_cut.end();) {
        const auto other = seeds.find(it->first);
        if (other == seeds.end()) return false;
        (it++)->second += other->second;
      }
      return true;
    };
    if (!read(k_.split, 1) || (!k_.minus_split.empty() && !read(k_.minus_split, -1))) return false;
    seeds_ = int64_t(at_cut.size());
    return true;
  }

  std::vector<Claim> make_claims() const {
    std::vector<Claim> claims;
    const auto mean = [](const std::vector<double>& v) {
      double sum = 0;
      for (double x : v) sum += x;
      return sum / double(v.size());
    };
    if (k_.over == CriterionConfig::Over::each) {
      for (size_t i = 0; i < cuts_.size(); ++i) {
        Claim c{cuts_[i] ? fmt::format(" at cut {}", cuts_[i]) : "", 0, {}};
        for (const auto& [seed, value] : values_[i]) c.per_seed.push_back(value);
        c.value = mean(c.per_seed);
        claims.push_back(std::move(c));
      }
      return claims;
    }
    Claim c{fmt::format(" over cuts {} to {}", cuts_.front(), cuts_.back()), 0, {}};
    const std::vector<double> x(cuts_.begin(), cuts_.end());
    std::vector<double> means(cuts_.size());
    for (const auto& [seed, unused] : values_.front()) {
      std::vector<double> y;
      y.reserve(values_.size());
      for (const auto& at_cut : values_) y.push_back(at_cut.at(seed));
      c.per_seed.push_back(k_.over == CriterionConfig::Over::mean ? mean(y) : spearman(x, y));
      for (size_t i = 0; i < y.size(); ++i) means[i] += y[i] / double(values_.front().size());
    }
    c.value = k_.over == CriterionConfig::Over::mean ? mean(c.per_seed) : spearman(x, means);
    claims.push_back(std::move(c));
    return claims;
  }

  double room(const Claim& c) const {
    double r = INFINITY;
    if (k_.at_least) r = std::min(r, c.value - *k_.at_least);
    if (k_.at_most) r = std::min(r, *k_.at_most - c.value);
    return std::isnan(c.value) ? -INFINITY : r;
  }

  // A band on one side of 0 claims a sign; one around 0 claims none.
  bool signs_right(const Claim& c) const {
    const double sign = k_.at_least && *k_.at_least >= 0 ? 1 : k_.at_most && *k_.at_most <= 0 ? -1 : 0;
    const auto terms = *value_terms(k_.value);
    if (sign == 0 || (!terms.minus && k_.over != CriterionConfig::Over::spearman && k_.minus_split.empty())) return true;
    if (std::ranges::all_of(c.per_seed, [&](double v) { return sign * v > 0; })) return true;
    const Summary s = summarize(c.per_seed);
    return s.half_width && sign * s.mean - *s.half_width > 0;
  }

  std::string measured(const Claim& c) const {
    const bool rank = k_.over == CriterionConfig::Over::spearman;
    const Summary s = summarize(c.per_seed);
    std::string text = fmt::format("{:+.{}f}{}{}", c.value, rank ? 3 : 1, rank ? "" : " pp", c.where);
    if (rank) return text + fmt::format(" ({} seeds)", s.seeds);
    return text + fmt::format(" ({} of {} seeds {}{})", std::max(s.positive, s.negative), s.seeds,
                              s.positive >= s.negative ? "above 0" : "below 0",
                              s.half_width ? fmt::format(", +/- {:.1f}", *s.half_width) : "");
  }

  std::string needed() const {
    const char* unit = k_.over == CriterionConfig::Over::spearman ? "" : " pp";
    if (k_.at_least && k_.at_most) return fmt::format("{:g} to {:g}{}", *k_.at_least, *k_.at_most, unit);
    return k_.at_least ? fmt::format("at least {:g}{}", *k_.at_least, unit) : fmt::format("at most {:g}{}", *k_.at_most, unit);
  }

  const CriterionConfig& k_;
  const std::vector<Row>& rows_;
  int64_t images_;
  std::vector<int64_t> cuts_;
  std::vector<std::map<int64_t, double>> values_;  // per cut, by seed
  int64_t seeds_ = 0;
  std::string missing_in_;
};

}  // namespace

std::string_view name(Judgement j) { return j == Judgement::pass ? "pass" : j == Judgement::fail ? "fail" : "not judged"; }

std::vector<Verdict> judge(const StudyConfig& config, const std::vector<int64_t>& cuts, const std::vector<Row>& rows) {
  std::vector<Verdict> verdicts;
  verdicts.reserve(config.criteria.size());
  for (const CriterionConfig& k : config.criteria) verdicts.push_back(Judge(k, config, cuts, rows).verdict());
  return verdicts;
}

bool all_passed(const std::vector<Verdict>& verdicts) {
  return std::ranges::all_of(verdicts, [](const Verdict& v) { return v.judgement == Judgement::pass; });
}

}  // namespace graft::study
