// A kernel that is wrong is not timed; one that is right is, and stays verified. (No time is judged.)
#include <doctest/doctest.h>

#include "bench/measure.h"
#include "bench/options.h"
#include "bench/verify.h"
#include "kernels/common/error.h"
#include "tests/cases/makers.h"

using namespace graft;
using namespace graft::bench;

namespace {

harness::Case softmax_case() {
  return harness::collect([] { harness::add_softmax(Op::softmax, harness::Tier::bench, {37, 50}); }).at(0);
}

Candidate ours(bench::Device& device, const harness::Case& c) {
  return {"graft", 0, "", false,
          [&device, &c](std::vector<void*>& args) { c.run(device.context(), Backend::cpu, DType::f32, args); }};
}

}  // namespace

TEST_CASE("verify: a planted wrong kernel is caught, wherever it is wrong") {
  const auto device = make_device(Backend::cpu, 2);
  const harness::Case c = softmax_case();
  Arguments arguments(*device, c, DType::f32);
  const auto expected = reference(*device, arguments, c, DType::f32, {}, 1);
  REQUIRE(expected);
  CHECK(expected->method == "ref f64");
  Candidate right = ours(*device, c);
  CHECK(verify(*device, arguments, c, DType::f32, right, *expected).ok);
  for (size_t at : {size_t{0}, size_t{911}, size_t{37 * 50 - 1}}) {
    Candidate wrong = right;
    wrong.run = [&](std::vector<void*>& args) {
      right.run(args);
      static_cast<float*>(args[0])[at] += 0.01f;  // half of the mean
    };
    const auto r = verify(*device, arguments, c, DType::f32, wrong, *expected);
    CHECK(!r.ok);
    CHECK(r.report.find("1 of 1850 fail") != std::string::npos);
  }
  Candidate lazy = right;
  lazy.run = [](std::vector<void*>&) {};  // outputs are NaN before each verification: yesterday's results do not count
  CHECK(!verify(*device, arguments, c, DType::f32, lazy, *expected).ok);
}

TEST_CASE("verify: what stands in for ref where it would take too long, and nothing where there is nothing") {
  const auto device = make_device(Backend::cpu, 1);
  const harness::Case c = softmax_case();
  Arguments arguments(*device, c, DType::f32);
  CHECK(!reference(*device, arguments, c, DType::f32, {}, 0));
  Candidate other = ours(*device, c);
  other.engine = "library 1.0";
  CHECK(reference(*device, arguments, c, DType::f32, {other}, 0)->method == "library 1.0 f32");
}

TEST_CASE("measure: candidates take turns, and each gets its samples") {
  const auto device = make_device(Backend::cpu, 1);
  const harness::Case c = softmax_case();
  Arguments arguments(*device, c, DType::f32);
  std::string order;
  Candidate a = ours(*device, c), b = a;
  a.time = [&](int, Cache) { return order += 'a', Timing{1e-3, order.size() > 20 && order.size() % 3 == 0}; };
  b.time = [&](int, Cache) { return order += 'b', Timing{2e-3}; };
  const auto samples = measure(*device, arguments, {a, b}, Cache::cold, {.seconds = 0.05, .least = 10, .most = 30});
  CHECK(order.substr(0, 12) == "aabbabababab");  // twice each to see how long a call takes, then in turns
  CHECK(samples[1].seconds.size() >= 10);
  CHECK(samples[0].dropped + samples[0].seconds.size() == samples[1].seconds.size());
  for (double s : samples[0].seconds) CHECK(s == 1e-3);
}

TEST_CASE("device: what is absent is an error by name") {
  CHECK_THROWS_WITH_AS(backend_named("gpu"), doctest::Contains("bench: no device 'gpu': "), ConfigError);
  CHECK_THROWS_AS(dtype_named("f31"), ConfigError);
  Options o{.op = "matmul", .device = "emu"};
  CHECK_THROWS_WITH_AS(bench::run(o, {[](std::string_view) {}, [](std::string_view) {}}),
                       doctest::Contains("emu is a debugging device"), ConfigError);
}
