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

std::string markdown(const std::vector<Result>& results) {
  std::map<decltype(group(results[0])), std::vector<const Result*>> groups;
  for (const Result& r : results) groups[group(r)].push_back(&r);
  std::string text;
  for (const auto& [key, rows] : groups) {
    const Result& first = *rows[0];
    text += fmt::format("\n### {} {}, {}, {}, {}\n\n", first.op, first.pass, first.dtype, first.suite, first.cache);
    text +=
        fmt::format("{}, {} threads, {}; {}; commit {}\n\n", first.device, first.threads, first.target, first.driver, first.commit);
    text +=
        "| shape | calls | engine | median µs | p10 - p90 | GFLOP/s | GB/s | % of roofline | speed / fastest other | verified |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|\n";
    std::string before;
    for (const Result* r : rows) {
      const bool again = r->shape == before;
      text += fmt::format("| {} | {} | {} | {} | {} - {} | {:.4g} | {:.3g} | {:.0f}{} | {} | {} |\n", again ? "" : r->shape,
                          again ? "" : std::to_string(r->times), r->label(), microseconds(r->seconds()),
                          microseconds(quantile(r->samples, 0.1)), microseconds(quantile(r->samples, 0.9)), r->gflops(), r->gbs(),
                          r->roofline_percent(), r->alarm() ? " (!)" : "", ratio(*r),
                          r->verified + (r->disturbed ? ", disturbed" : ""));
      before = r->shape;
    }
  }
  return text;
}

}  // namespace graft::bench
