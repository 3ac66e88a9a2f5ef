#include "bench/result.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/statistics.h"
#include "commit.h"
#include "kernels/common/error.h"

namespace graft::bench {
namespace {

using nlohmann::ordered_json;

double rounded(double v, int digits) {
  if (v == 0 || !std::isfinite(v)) return v;
  const double scale = std::pow(10, digits - 1 - int(std::floor(std::log10(std::abs(v)))));
  return std::round(v * scale) / scale;
}

}  // namespace

double Result::seconds() const { return median(samples); }

double Result::roofline_percent() const {
  const double least = std::max(peak_gflops > 0 ? flops / peak_gflops : 0, bandwidth_gbs > 0 ? bytes / bandwidth_gbs : 0) * 1e-9;
  return 100 * least / seconds();
}

std::string Result::label() const { return version ? fmt::format("{} v{} {}", engine, version, version_name) : engine; }

std::string json_line(const Result& r) {
  std::vector<double> us(r.samples.size());
  std::transform(r.samples.begin(), r.samples.end(), us.begin(), [](double s) { return rounded(s * 1e6, 5); });
  ordered_json j{{"schema", 1},
                 {"op", r.op},
                 {"pass", r.pass},
                 {"dtype", r.dtype},
                 {"shape", r.shape},
                 {"suite", r.suite},
                 {"times", r.times},
                 {"engine", r.engine},
                 {"version", r.version},
                 {"version_name", r.version_name},
                 {"cache", r.cache},
                 {"verified", r.verified},
                 {"median_us", rounded(r.seconds() * 1e6, 5)},
                 {"p10_us", rounded(quantile(r.samples, 0.1) * 1e6, 5)},
                 {"p90_us", rounded(quantile(r.samples, 0.9) * 1e6, 5)},
                 {"flops", r.flops},
                 {"bytes", r.bytes},
                 {"gflops", rounded(r.gflops(), 4)},
                 {"gbs", rounded(r.gbs(), 4)},
                 {"peak_gflops", rounded(r.peak_gflops, 4)},
                 {"bandwidth_gbs", rounded(r.bandwidth_gbs, 4)},
                 {"roofline_percent", rounded(r.roofline_percent(), 4)},
                 {"alarm", r.alarm()},
                 {"baseline_ratio", rounded(r.baseline_ratio, 4)},
                 {"backend", r.backend},
                 {"device", r.device},
                 {"target", r.target},
                 {"driver", r.driver},
                 {"threads", r.threads},
                 {"load", r.load},
                 {"compiler", r.compiler},
                 {"commit", r.commit},
                 {"command", r.command},
                 {"calls", r.calls},
                 {"dropped", r.dropped},
                 {"disturbed", r.disturbed},
                 {"samples_us", us}};
  if (std::isfinite(r.sensors.clock_mhz))
    j["sensors"] = {{"clock_mhz", r.sensors.clock_mhz},
                    {"power_w", r.sensors.power_w},
                    {"temperature_c", r.sensors.temperature_c},
                    {"throttled", r.sensors.throttled}};
  return j.dump() + "\n";
}

Result result_from_json(const std::string& line) try {
  const auto j = nlohmann::json::parse(line);
  Result r;
  const auto get = [&](const char* key, auto& to) { j.at(key).get_to(to); };
  int schema = 0;
  get("schema", schema);
  check<LoadError>(schema == 1, "schema {}: expected 1", schema);
  get("op", r.op), get("pass", r.pass), get("dtype", r.dtype), get("shape", r.shape), get("suite", r.suite), get("times", r.times);
  get("engine", r.engine), get("version", r.version), get("version_name", r.version_name), get("cache", r.cache);
  get("verified", r.verified), get("flops", r.flops), get("bytes", r.bytes), get("peak_gflops", r.peak_gflops);
  get("bandwidth_gbs", r.bandwidth_gbs), get("baseline_ratio", r.baseline_ratio), get("backend", r.backend);
  get("device", r.device), get("target", r.target), get("driver", r.driver), get("threads", r.threads), get("load", r.load);
  get("compiler", r.compiler), get("commit", r.commit), get("command", r.command), get("calls", r.calls), get("dropped", r.dropped),
      get("disturbed", r.disturbed);
  get("samples_us", r.samples);
  for (double& s : r.samples) s *= 1e-6;
  check<LoadError>(!r.samples.empty(), "no samples");
  r.sensors = {NAN, NAN, NAN};
  if (j.contains("sensors")) {
    const auto& s = j["sensors"];
    r.sensors = {s.at("clock_mhz"), s.at("power_w"), s.at("temperature_c"), s.at("throttled")};
  }
  return r;
} catch (const nlohmann::json::exception& e) {
  throw LoadError(e.what());
}

std::vector<Result> read_results(const std::vector<std::string>& files) {
  std::vector<Result> all;
  for (const std::string& path : files) {
    std::ifstream file(path);
    check<LoadError>(file.good(), "{}: cannot be read", path);
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      if (line.empty()) continue;
      try {
        all.push_back(result_from_json(line));
      } catch (const LoadError& e) {
        throw LoadError(fmt::format("{}:{}: not a result of graft bench: {}", path, number, e.what()));
      }
    }
  }
  return all;
}

std::string commit() { return GRAFT_COMMIT; }
std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace graft::bench
