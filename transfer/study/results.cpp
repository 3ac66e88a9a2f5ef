#include "transfer/study/results.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace graft::study {

namespace {

// Without the cache a cell passes its frozen blocks once an epoch instead of once. Cells that share a prefix compute it
// once: the others wait a moment for it, so the longest time of a prefix is the one that counts.
double measured_saving(const std::vector<Row>& rows) {
  const auto prefix = [](const Row& r) {
    return fmt::format("{} {} {} {} {}", r.source_key, r.label.cut, r.label.half, r.label.seed, r.label.images_per_class);
  };
  std::map<std::string, double> once;
  for (const Row& r : rows) once[prefix(r)] = std::max(once[prefix(r)], r.result.prefix_seconds);
  std::set<std::string> seen;
  double seconds = 0, uncached = 0;
  for (const Row& r : rows) {
    if (!seen.insert(r.key).second) continue;
    seconds += r.result.seconds;
    uncached += r.result.seconds;
    if (r.result.prefix_blocks) uncached += double(r.result.epochs) * once[prefix(r)] - r.result.prefix_seconds;
  }
  return uncached > 0 ? 1 - seconds / uncached : std::nan("");
}

}  // namespace

StudyResults load_results(const std::filesystem::path& out) {
  const Store store(out, Store::Mode::read);
  StudyResults r;
  r.meta = store.meta();
  const auto fact = [&](const char* name) {
    const auto found = r.meta.find(name);
    check<LoadError>(found != r.meta.end(), "{}: the store has no '{}'", out.string(), name);
    return found->second;
  };
  r.config = parse_config(fact("config"), fact("config_file"));
  r.config.name = fact("name");
  r.config.seeds = std::stoll(fact("seeds"));
  const auto split = [](const std::string& text) {
    std::vector<std::string> words;
    for (size_t i = 0, end; i < text.size(); i = end + 1) {
      end = std::min(text.find(' ', i), text.size());
      words.push_back(text.substr(i, end - i));
    }
    return words;
  };
  for (const std::string& cut : split(fact("cuts"))) r.cuts.push_back(std::stoll(cut));
  r.blocks = split(fact("blocks"));
  r.planned = int64_t(store.planned().size());
  r.rows = store.rows();
  r.quantities = all_quantities(r.rows);
  r.verdicts = judge(r.config, r.cuts, r.rows);
  const auto predicted = r.meta.find("predicted_seconds"), uncached = r.meta.find("predicted_seconds_uncached");
  r.predicted_saving = predicted != r.meta.end() && uncached != r.meta.end()
                           ? 1 - std::stod(predicted->second) / std::stod(uncached->second)
                           : std::nan("");
  r.measured_saving = measured_saving(r.rows);
  return r;
}

}  // namespace graft::study
