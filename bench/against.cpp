#include "bench/against.h"

#include <fmt/core.h>

#include <array>
#include <cmath>

#include "kernels/common/error.h"

namespace graft::bench {
namespace {

auto key(const Result& r) { return std::tie(r.op, r.pass, r.dtype, r.shape, r.engine, r.version, r.cache, r.backend, r.threads); }

// How much slower the machine was, by the roofline that bounds this row; by the clock where its peak is nominal (tensor cores).
double machine_ratio(const Result& before, const Result& now) {
  const bool arithmetic = now.flops / now.peak_gflops > now.bytes / now.bandwidth_gbs;
  const double clocks = before.sensors.clock_mhz / now.sensors.clock_mhz;
  if (arithmetic && before.peak_gflops == now.peak_gflops && std::isfinite(clocks)) return clocks;
  return arithmetic ? before.peak_gflops / now.peak_gflops : before.bandwidth_gbs / now.bandwidth_gbs;
}

}  // namespace

std::vector<Difference> compare_results(std::span<const Result> before, std::span<const Result> now) {
  constexpr double kMachine = 0.05;
  std::vector<Difference> all;
  for (const Result& n : now) {
    if (n.engine != "graft") continue;
    for (const Result& b : before) {
      if (key(b) != key(n)) continue;
      check<ConfigError>(b.device == n.device && b.target == n.target,
                         "bench: --against: measured on {} ({}), this is {} ({}): times of different machines are not compared",
                         b.device, b.target, n.device, n.target);
      Difference d{fmt::format("{} {} {} {} {} {}", n.op, n.pass, n.dtype, n.cache, n.label(), n.shape), {}, {}, {}};
      d.change = compare_samples(b.samples, n.samples);
      d.verdict = d.change.verdict;
      if (const double m = machine_ratio(b, n); d.verdict != Verdict::unclear && std::abs(m - 1) > kMachine) {
        d.verdict = Verdict::unclear;
        d.why = fmt::format("the machine itself was {:.0f} % {}", 100 * std::abs(m - 1), m > 1 ? "slower" : "faster");
      }
      if (b.disturbed || n.disturbed) d.verdict = Verdict::unclear, d.why = "disturbed";
      all.push_back(std::move(d));
      break;
    }
  }
  check<ConfigError>(!all.empty(), "bench: --against: no row in common");
  return all;
}

std::string differences_text(std::span<const Difference> all) {
  std::string text = "\nagainst the stored run (time now / then, 95 % interval):\n";
  std::array<int, 4> counts{};
  for (const Difference& d : all) {
    ++counts[size_t(d.verdict)];
    text += fmt::format("{:<8} {:.3f} [{:.3f}, {:.3f}]  {}{}\n", name(d.verdict), d.change.ratio, d.change.low, d.change.high,
                        d.row, d.why.empty() ? "" : " (" + d.why + ")");
  }
  return text + fmt::format("{} faster, {} slower, {} same, {} unclear\n", counts[0], counts[1], counts[2], counts[3]);
}

}  // namespace graft::bench
