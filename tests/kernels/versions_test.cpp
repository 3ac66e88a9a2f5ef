// Every version of the ladders on emu against ref in double, on shapes that cross the edges of their tiles; the choice
// between them.
#include <doctest/doctest.h>

#include <utility>

#include "kernels/common/error.h"
#include "kernels/common/versions.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/matmul.h"
#include "kernels/runtime/emu/emu.h"
#include "tests/harness/cases.h"
#include "tests/harness/compare.h"

using namespace graft;
using namespace graft::harness;

namespace {

Case matmul_case(const MatmulParams& p) {
  const int64_t c = p.batch * p.m * p.n;
  std::vector<Case> before = std::exchange(all_cases(), {});
  add<MatmulForward>(
      Op::matmul, Pass::forward,
      fmt::format("batch={} m={} n={} k={} {}{}", p.batch, p.m, p.n, p.k, p.transpose_a ? 't' : 'n', p.transpose_b ? 't' : 'n'),
      Tier::ci, {p.write == Write::accumulate ? in_out(c) : out(c), in(p.batch * p.m * p.k), in(p.batch * p.k * p.n)},
      {.reduction = double(p.k)}, p);
  Case made = all_cases().back();
  all_cases() = std::move(before);
  return made;
}

// Versions up to all_accept have to accept it.
void check_versions(const Case& c, int all_accept) {
  Context context(1);
  auto expected = run_case(c, context, Backend::ref, DType::f64);
  for (const Version& v : versions(c.op, c.pass, Backend::emu, DType::f32)) {
    if (v.by_request) continue;  // rounds otherwise: matmul_mma_test.cpp
    INFO(name(c.op), " ", name(c.pass), " ", c.name, " version ", v.number, " ", v.name);
    context.set_version(c.op, v.number);
    for (uint64_t seed : {0, 1}) {
      emu::options().seed = seed;
      try {
        auto actual = run_case(c, context, Backend::emu, DType::f32);
        for (size_t i = 0; i < c.args.size(); ++i) {
          if (c.args[i].role != Arg::output && c.args[i].role != Arg::in_out) continue;
          const auto a = actual[i].values(), e = expected[i].values();
          const Comparison r = compare<double>(a, e, rounding(0x1p-23, c.cost.reduction, e));
          CHECK_MESSAGE(r.ok, "argument ", i, ": ", r.report);
        }
      } catch (const ConfigError& e) {
        CHECK_MESSAGE(v.number > all_accept, std::string(e.what()));
      } catch (const Error& e) {
        FAIL_CHECK(std::string(e.what()));
      }
    }
    emu::options().seed = 0;
  }
}

}  // namespace

TEST_CASE("versions matmul") {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      check_versions(matmul_case({2, 7, 5, 3, ta, tb, Write::accumulate}), 1);
      check_versions(matmul_case({1, 37, 45, 41, ta, tb}), 1);
      check_versions(matmul_case({2, 36, 132, 20, ta, tb}), 9);
      check_versions(matmul_case({1, 132, 8, 36, ta, tb, Write::accumulate}), 9);
      check_versions(matmul_case({1, 4, 4, 0, ta, tb}), 8);  // TMA reads no empty tensor
    }
}

TEST_CASE("versions: what runs is what was asked for") {
  const Version all[] = {{1, "plain"}, {2, "tiles"}, {5, "tensor cores", true}};
  const bool every[] = {true, true, true}, small[] = {true, false, false};
  CHECK(choose_version(Op::matmul, 0, all, every) == 1);
  CHECK(choose_version(Op::matmul, 0, all, small) == 0);
  CHECK(choose_version(Op::matmul, 5, all, every) == 2);
  CHECK_THROWS_WITH_AS(choose_version(Op::matmul, 2, all, small),
                       "matmul: version 2 (tiles) does not accept these arguments (version 1 accepts all)", ConfigError);
  CHECK_THROWS_WITH_AS(choose_version(Op::matmul, 3, all, every), "matmul: no version 3: expected one of 1, 2, 5", ConfigError);
  Context context(1);
  CHECK(context.version(Op::linear) == environment_versions()[size_t(Op::linear)]);
  context.set_version(Op::linear, 1);
  CHECK(context.version(Op::linear) == 1);
}

TEST_CASE("versions: what does not pay runs by request") {
  static int ran = 0;
  constexpr Rung<void(Context&, int)> ladder[] = {
      {{1, "plain"}, accepts_all, [](Context&, int) { ran = 1; }},
      {{2, "tiles"}, [](int n) { return n >= 10; }, [](Context&, int) { ran = 2; }, [](int n) { return n >= 100; }},
  };
  Context context(1);
  const auto run = [&](int requested, int n) {
    context.set_version(Op::sgd, requested);
    run_version(Op::sgd, ladder, context, n);
    return ran;
  };
  CHECK(run(0, 99) == 1);
  CHECK(run(0, 100) == 2);
  CHECK(run(2, 10) == 2);
  CHECK_THROWS_AS(run(2, 9), ConfigError);
}
