// Rows as JSON, and what is said of two of them. Samples are synthetic: nothing is timed here.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/against.h"
#include "bench/result.h"
#include "bench/roofline.h"
#include "kernels/common/error.h"
#include "kernels/common/philox.h"

using namespace graft;
using namespace graft::bench;

namespace {

// Times as they are: a floor, a little noise above it, and now and then a disturbance.
std::vector<double> samples(double floor, int n, uint64_t key) {
  const Philox random{key, 0};
  std::vector<double> v;
  for (int i = 0; i < n; ++i)
    v.push_back(floor * (1 + 0.02 * std::abs(random.normal(uint64_t(i)))) * (random.uniform(uint64_t(1000 + i)) < 0.1 ? 3 : 1));
  return v;
}

Result row(std::vector<double> times) {
  Result r;
  r.op = "softmax", r.pass = "forward", r.dtype = "f32", r.shape = "rows=4096 cols=512", r.suite = "basic", r.engine = "graft";
  r.version = 2, r.version_name = "tiles", r.times = 3;
  r.flops = 8e6, r.bytes = 16e6, r.backend = "cpu", r.device = "a processor", r.target = "AVX3", r.driver = "Linux", r.threads = 2;
  r.compiler = "gcc", r.commit = "abc", r.command = "graft bench softmax", r.cache = "cold", r.verified = "ref f64";
  r.samples = std::move(times), r.peak_gflops = 100, r.bandwidth_gbs = 20, r.baseline_ratio = 0.5, r.load = 1.5;
  r.sensors = {NAN, NAN, NAN};
  return r;
}

Verdict verdict(const Result& before, const Result& now) {
  return compare_results(std::vector{before}, std::vector{now}).at(0).verdict;
}

}  // namespace

TEST_CASE("result: the JSON of a row is stable and reads back") {
  const Result r = row({1e-3, 2e-3, 1.5e-3});
  const std::string line = json_line(r);
  CHECK(line.back() == '\n');
  const auto j = nlohmann::json::parse(line);
  const char* keys[] = {"schema",           "op",        "pass",           "dtype",   "shape",    "suite",       "times",
                        "engine",           "version",   "version_name",   "cache",   "verified", "median_us",   "p10_us",
                        "p90_us",           "flops",     "bytes",          "gflops",  "gbs",      "peak_gflops", "bandwidth_gbs",
                        "roofline_percent", "alarm",     "baseline_ratio", "backend", "device",   "target",      "driver",
                        "threads",          "load",      "compiler",       "commit",  "command",  "calls",       "dropped",
                        "disturbed",        "samples_us"};
  for (const char* key : keys) CHECK_MESSAGE(j.contains(key), key);
  CHECK(j.size() == std::size(keys));  // a new key is a new schema number, or is optional as "sensors" is
  CHECK(j["schema"] == 1);
  CHECK(j["median_us"] == 1500);
  CHECK(j["gflops"] == doctest::Approx(8e6 / 1.5e-3 * 1e-9).epsilon(0.001));
  CHECK(j["roofline_percent"] == doctest::Approx(100 * 16e6 / 20e9 / 1.5e-3).epsilon(0.001));
  CHECK(j["alarm"] == false);
  CHECK(json_line(result_from_json(line)) == line);
  CHECK_THROWS_AS(result_from_json("{\"schema\":1}"), LoadError);
  CHECK_THROWS_AS(result_from_json("step 3 ms"), LoadError);
}

TEST_CASE("result: faster than the machine is an alarm") {
  CHECK(!row({1e-3}).alarm());
  CHECK(row({0.7e-3}).alarm());  // 16 MB at 20 GB/s take 0.8 ms
}

TEST_CASE("against: the verdicts on synthetic samples") {
  const Result before = row(samples(1e-3, 60, 1));
  CHECK(verdict(before, row(samples(1e-3, 60, 2))) == Verdict::same);
  CHECK(verdict(before, row(samples(1.2e-3, 60, 3))) == Verdict::slower);
  CHECK(verdict(before, row(samples(0.8e-3, 60, 4))) == Verdict::faster);
  CHECK(verdict(before, row({0.6e-3, 0.8e-3, 1e-3, 1.05e-3, 1.3e-3, 1.6e-3})) == Verdict::unclear);  // few and scattered
  int wrong = 0;  // a difference that is not there
  for (uint64_t key = 10; key < 60; ++key) {
    const Verdict v = verdict(row(samples(1e-3, 30, key)), row(samples(1e-3, 30, key + 1000)));
    wrong += v == Verdict::slower || v == Verdict::faster;
  }
  CHECK(wrong == 0);
}

TEST_CASE("against: only what can be compared is") {
  const Result before = row(samples(1e-3, 60, 1));
  Result now = row(samples(1.2e-3, 60, 2));
  now.target = "AVX2";
  CHECK_THROWS_WITH_AS(verdict(before, now), doctest::Contains("times of different machines are not compared"), ConfigError);
  now.target = "AVX3", now.device = "another";
  CHECK_THROWS_AS(verdict(before, now), ConfigError);
  now.device = before.device, now.bandwidth_gbs = 16;  // the machine was disturbed: its memory was 25 % slower too
  const Difference d = compare_results(std::vector{before}, std::vector{now}).at(0);
  CHECK(d.verdict == Verdict::unclear);
  CHECK(d.why == "the machine itself was 25 % slower");
  now.bandwidth_gbs = 20, now.disturbed = true;
  CHECK(compare_results(std::vector{before}, std::vector{now}).at(0).why == "disturbed");
  now.disturbed = false;
  Result product = before, later = now;  // bound by tensor cores, whose peak is nominal
  product.flops = later.flops = 1e12, product.sensors.clock_mhz = 1980, later.sensors.clock_mhz = 1600;
  CHECK(compare_results(std::vector{product}, std::vector{later}).at(0).why == "the machine itself was 24 % slower");
  now.shape = "rows=1 cols=1";
  CHECK_THROWS_WITH_AS(verdict(before, now), "bench: --against: no row in common", ConfigError);
}

TEST_CASE("result: Markdown sums up a suite, then shows each shape with the engines beside each other") {
  Result ours = row({1e-3}), other = row({2e-3}), alone = row({3e-3});
  ours.version = alone.version = 0;
  other.engine = "vendor 1.0", other.version = 0;
  alone.shape = "rows=1 cols=1", alone.times = 1;
  Result disturbed = row({9e-3});
  disturbed.version = 0, disturbed.shape = "rows=2 cols=2", disturbed.disturbed = true;
  Result half = row({1e-3});
  half.dtype = "bf16", half.suite = "other", half.peak_gflops = 1600;
  Result unverified = other;
  unverified.engine = "library 2.0", unverified.verified = "not";
  const std::string text = markdown({ours, other, alone, disturbed, half, unverified});
  CHECK(text.find("commit abc: 1600.0 GFLOP/s bf16, 100.0 GFLOP/s f32, 20.0 GB/s from memory") != std::string::npos);
  // The disturbed row does not count: 3 calls of 1 ms and one of 3 ms; the vendor has the first alone. Roofline: 0.8 ms of each
  // call.
  CHECK(text.find("| basic | softmax | forward | f32 | cold | 2 of 3 | 6000 | 53 | - | 2.00 |") != std::string::npos);
  CHECK(text.find("### softmax forward, f32, basic, cold") != std::string::npos);
  CHECK(text.find("| rows=4096 cols=512 | 3 | 1000 | 1000 - 1000 | 8 | 16 | 80 | 2000 (2.00) | 2000 (2.00) not verified |") !=
        std::string::npos);
  CHECK(text.find("| 9 (disturbed) | - | - |") != std::string::npos);
  CHECK(text.find("| rows=1 cols=1 | 1 | 3000 | 3000 - 3000 | 2.667 | 5.33 | 27 | - | - |") != std::string::npos);
}

TEST_CASE("bench: a cold pass over few bytes takes what its launch does, too") {
  Roofline r{.memory_gbs = 4000, .cold = {{1000000, 250}, {4000000, 800}, {1000000000, 4000}}};  // 4 us, 5 us, 250 us
  CHECK(r.cold_gbs(500000) == doctest::Approx(125));
  CHECK(r.cold_gbs(2500000) == doctest::Approx(2.5e6 / 4.5e3));
  CHECK(r.cold_gbs(4000000) == doctest::Approx(800));
  CHECK(r.cold_gbs(2e9) == 4000);
  CHECK(Roofline{.memory_gbs = 20}.cold_gbs(1000) == 20);
  Roofline other = r;
  other.cold[0].gbs = 500;
  CHECK(best(r, other).cold_gbs(500000) == doctest::Approx(250));
}
