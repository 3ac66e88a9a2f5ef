#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "bench/result.h"
#include "bench/statistics.h"

namespace graft::bench {
namespace {

std::string microseconds(double seconds) {
  const double us = seconds * 1e6;
  return us < 100 ? fmt::format("{:.3g}", us) : fmt::format("{:.0f}", us);
}

std::string ratio(const Result& r) { return r.baseline_ratio > 0 ? fmt::format("{:.2f}", 1 / r.baseline_ratio) : "-"; }

// Rows that share a table: what was computed how, and the machine.
auto group(const Result& r) { return std::tuple(r.device, r.target, r.threads, r.dtype, r.suite, r.op, r.pass, r.cache); }

}  // namespace

std::string table_header(const Result& r) {
  return fmt::format("\n{} {}, {}\n{:>10} {:>10} {:>10} {:>9} {:>8} {:>6} {:>7}  {:<4} {:<22} {}\n", r.op, r.pass, r.dtype,
                     "median us", "p10", "p90", "GFLOP/s", "GB/s", "roof%", "speed", "", "engine", "shape");
}

std::string table_row(const Result& r) {
  return fmt::format("{:>10} {:>10} {:>10} {:>9.4g} {:>8.3g} {:>5.1f}{} {:>7}  {:<4} {:<22} {}{}\n", microseconds(r.seconds()),
                     microseconds(quantile(r.samples, 0.1)), microseconds(quantile(r.samples, 0.9)), r.gflops(), r.gbs(),
                     r.roofline_percent(), r.alarm() ? '!' : ' ', ratio(r), r.cache, r.label(), r.shape,
                     (r.times > 1 ? fmt::format("  ({}x)", r.times) : std::string()) + (r.disturbed ? "  disturbed" : ""));
}

namespace {

// Every machine on which something was measured, with what it reaches.
std::string machines(const std::vector<Result>& results) {
  struct Peaks {
    std::map<std::string, double> gflops;  // of a dtype; the least: versions that round f32 to tf32 have another
    double memory = 0;
  };
  std::map<std::string, Peaks> found;
  for (const Result& r : results) {
    Peaks& peaks = found[fmt::format("{}, {}, {}, {} thread{}, commit {}", r.device, r.target, r.driver, r.threads,
                                     r.threads > 1 ? "s" : "", r.commit)];
    const auto [at, first] = peaks.gflops.try_emplace(r.dtype, r.peak_gflops);
    if (!first) at->second = std::min(at->second, r.peak_gflops);
    if (r.cache == "cold") peaks.memory = std::max(peaks.memory, r.bandwidth_gbs);
  }
  std::string text;
  for (const auto& [machine, peaks] : found) {
    text += fmt::format("- {}: ", machine);
    for (const auto& [dtype, gflops] : peaks.gflops) text += fmt::format("{:.1f} GFLOP/s {}, ", gflops, dtype);
    text += peaks.memory > 0 ? fmt::format("{:.1f} GB/s from memory\n", peaks.memory) : "no cold row\n";
  }
  return text;
}

std::string first_word(const std::string& s) { return s.substr(0, s.find(' ')); }

using Rows = std::vector<const Result*>;

const Result* row_of(const Rows& rows, const std::string& shape, const std::string& label) {
  for (const Result* r : rows)
    if (r->shape == shape && r->label() == label) return r;
  return nullptr;
}

std::vector<std::string> distinct(const Rows& rows, std::string (*of)(const Result&)) {
  std::vector<std::string> all;
  for (const Result* r : rows)
    if (std::find(all.begin(), all.end(), of(*r)) == all.end()) all.push_back(of(*r));
  return all;
}

// One line: every shape as often as its model calls it, Graft's time beside each other engine's on the shapes that both have.
// Disturbed rows say nothing.
std::string summary_line(const Rows& rows, const std::vector<std::string>& engines) {
  double roof = 0, ours = 0;
  int shapes = 0, all = 0;
  std::map<std::string, std::pair<double, double>> totals;  // theirs, ours
  for (const Result* r : rows) {
    if (r->engine != "graft" || r->version) continue;
    ++all;
    if (r->disturbed) continue;
    ++shapes, ours += r->times * r->seconds(), roof += r->times * r->seconds() * r->roofline_percent();
    for (const Result* other : rows)
      if (other->engine != "graft" && other->shape == r->shape && !other->disturbed && other->verified != "not") {
        auto& [theirs, mine] = totals[first_word(other->engine)];
        theirs += r->times * other->seconds(), mine += r->times * r->seconds();
      }
  }
  if (!shapes) return "";
  const Result& r = *rows[0];
  std::string text =
      fmt::format("| {} | {} | {} | {} | {} | {} | {} | {:.0f} |", r.suite, r.op, r.pass, r.dtype, r.cache,
                  shapes == all ? std::to_string(all) : fmt::format("{} of {}", shapes, all), microseconds(ours), roof / ours);
  for (const std::string& e : engines)
    text += totals.count(e) ? fmt::format(" {:.2f} |", totals[e].first / totals[e].second) : " - |";
  return text + "\n";
}

// One row for each shape, one column for each engine or version; the time of the first, and of the others with the speed of
// the first beside them.
std::string detail_table(const Rows& rows) {
  const Result& any = *rows[0];
  const auto shapes = distinct(rows, [](const Result& r) { return r.shape; });
  const auto labels = distinct(rows, [](const Result& r) { return r.label(); });
  std::string text =
      fmt::format("\n### {} {}, {}, {}, {}\n\n| shape | calls | {} µs | p10 - p90 | GFLOP/s | GB/s | % of roofline |", any.op,
                  any.pass, any.dtype, any.suite, any.cache, labels[0]);
  std::string rule = "\n|---|---|---|---|---|---|---|";
  for (size_t i = 1; i < labels.size(); ++i) text += fmt::format(" {} µs (ratio) |", labels[i]), rule += "---|";
  text += rule + "\n";
  for (const std::string& shape : shapes) {
    const Result* first = row_of(rows, shape, labels[0]);
    if (!first) continue;
    text += fmt::format("| {} | {} | {} | {} - {} | {:.4g} | {:.3g} | {:.0f}{}{} |", shape, first->times,
                        microseconds(first->seconds()), microseconds(quantile(first->samples, 0.1)),
                        microseconds(quantile(first->samples, 0.9)), first->gflops(), first->gbs(), first->roofline_percent(),
                        first->alarm() ? " (!)" : "", first->disturbed ? " (disturbed)" : "");
    for (size_t i = 1; i < labels.size(); ++i) {
      const Result* r = row_of(rows, shape, labels[i]);
      text += r ? fmt::format(" {}{} ({:.2f}){} |", r->disturbed ? "~" : "", microseconds(r->seconds()),
                              r->seconds() / first->seconds(), r->verified == "not" ? " not verified" : "")
                : " - |";
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string markdown(const std::vector<Result>& results) {
  std::map<decltype(group(results[0])), Rows> groups;
  std::vector<std::string> engines;
  for (const Result& r : results) {
    groups[group(r)].push_back(&r);
    if (r.engine != "graft" && std::find(engines.begin(), engines.end(), first_word(r.engine)) == engines.end())
      engines.push_back(first_word(r.engine));
  }
  std::sort(engines.begin(), engines.end());
  std::string text = machines(results) + "\n| suite | op | pass | dtype | cache | shapes | sum of times, µs | % of roofline |",
              rule;
  for (const std::string& e : engines) text += fmt::format(" {} / graft |", e), rule += "---|";
  text += "\n|---|---|---|---|---|---|---|---|" + rule + "\n";
  for (const auto& [key, rows] : groups) text += summary_line(rows, engines);
  for (const auto& [key, rows] : groups) text += detail_table(rows);
  return text;
}

}  // namespace graft::bench
