// The harness itself: a comparator or a guard that cannot fail proves nothing.
#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/philox.h"
#include "tests/harness/cases.h"
#include "tests/harness/compare.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("the comparator fails on what it must") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto ok = [](std::vector<double> actual, std::vector<double> expected, Tolerance t) {
    return compare<double>(actual, expected, t).ok;
  };
  const std::vector<double> expected{1, 2, 3};
  const Tolerance t{0, 1e-6, 1};
  CHECK(ok({1, 2, 3}, expected, t));
  CHECK(ok({1, 2 + 1e-6, 3}, expected, t));
  CHECK_FALSE(ok({1, 2.001, 3}, expected, t));
  CHECK_FALSE(ok({1, nan, 3}, expected, t));
  CHECK_FALSE(ok({1, inf, 3}, expected, t));
  CHECK_FALSE(ok({1, 2}, expected, t));
  CHECK(ok({nan, inf}, {nan, inf}, t));
  CHECK_FALSE(ok({0, inf}, {nan, inf}, t));
  CHECK_FALSE(ok({nan, -inf}, {nan, inf}, t));
  CHECK_FALSE(ok({1}, {1.0000001}, {0, 0, 0}));
  // Lines of two: an error of 1 is small beside 1e6, wherever in its line, and not beside 1.
  const std::vector<double> tail{1, 1, 1e6, 1, 1};
  const Tolerance lines{.relative = 1e-5, .scale = 1, .line = 2};
  CHECK(ok({1, 1, 1e6, 2, 1}, tail, lines));
  CHECK_FALSE(ok({1, 1, 1e6, 20, 1}, tail, lines));
  CHECK_FALSE(ok({1, 2, 1e6, 1, 1}, tail, lines));
  CHECK_FALSE(ok({1, 1, 1e6, 1, 2}, tail, lines));
}

TEST_CASE("a write outside of an argument is found, and so is an output that is not written") {
  Case c{Op::activation, Pass::forward, "planted", Tier::smoke, {out(5), in(5)}, {}, {}, {}};
  c.dtypes = [](DType real) { return std::vector{real, real}; };
  Context context(1);
  c.run = [](Context&, Backend, DType, std::vector<void*>& a) { static_cast<float*>(a[0])[5] = 1; };
  CHECK_THROWS_WITH_AS(run_case(c, context, Backend::cpu, DType::f32), doctest::Contains("outside of argument 0"), Error);
  c.run = [](Context&, Backend, DType, std::vector<void*>& a) { static_cast<float*>(a[1])[-1] = 1; };
  CHECK_THROWS_WITH_AS(run_case(c, context, Backend::cpu, DType::f32), doctest::Contains("outside of argument 1"), Error);
  c.run = [](Context&, Backend, DType, std::vector<void*>&) {};
  const auto buffers = run_case(c, context, Backend::cpu, DType::f32);
  CHECK_FALSE(compare<double>(buffers[0].values(), std::vector<double>(5, 0.0), {1e9, 0, 0}).ok);
}

TEST_CASE("Philox gives the published numbers") {  // known answers of Random123, philox4x32 with 10 rounds
  CHECK(Philox{0, 0}(0) == PhiloxWords{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  CHECK(Philox{~0ull, ~0ull}(~0ull) == PhiloxWords{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  CHECK(Philox{0x299f31d0a4093822ull, 0x0370734413198a2eull}(0x85a308d3243f6a88ull) ==
        PhiloxWords{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST_CASE("the pool runs every task once, rethrows, nests and is shared") {
  ThreadPool pool(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> hits(257);
    pool.parallel_for(257, [&](int64_t t, int) { ++hits[size_t(t)]; });
    for (auto& h : hits) REQUIRE(h == 1);
  }
  CHECK_THROWS_AS(pool.parallel_for(100,
                                    [](int64_t t, int) {
                                      if (t == 50) throw Error("task");
                                    }),
                  Error);
  std::atomic<int> inner{0};
  pool.parallel_for(4, [&](int64_t, int) { pool.parallel_for(5, [&](int64_t, int) { ++inner; }); });
  CHECK(inner == 20);
  std::atomic<int> shared{0};
  const auto hundred = [&] {
    for (int i = 0; i < 100; ++i) pool.parallel_for(10, [&](int64_t, int) { ++shared; });
  };
  std::thread other(hundred);
  hundred();
  other.join();
  CHECK(shared == 2000);
}
