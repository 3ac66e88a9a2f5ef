// Every version of the memory-bound ops on emu, in both of their types, against ref in double: the smoke cases and what is listed
// here, so that no version is without a case that it accepts.
#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>

#include "kernels/common/error.h"
#include "kernels/common/versions.h"
#include "kernels/runtime/emu/emu.h"
#include "tests/harness/cases.h"
#include "tests/harness/check_outputs.h"

using namespace graft;
using namespace graft::harness;

namespace {

constexpr double kMaxFlops = 2e4;

bool selected(const Case& c) {
  return c.tier == Tier::smoke || (c.tier == Tier::ci && c.cost.flops > 0 && c.cost.flops <= kMaxFlops);
}

void check_ladder(Op op, Pass pass, DType real) {
  Context context(1);
  const auto ladder = versions(op, pass, Backend::emu, real);
  std::vector<int> ran(16);
  for (const Case& c : all_cases()) {
    if (c.op != op || c.pass != pass || !selected(c)) continue;
    auto expected = run_case(c, context, Backend::ref, DType::f64, real);
    for (const Version& v : ladder) {
      INFO(name(op), " ", name(pass), " ", c.name, " ", name(real), " version ", v.number, " ", v.name);
      context.set_version(op, v.number);
      emu::options().seed = c.tier == Tier::smoke ? 1 : 0;
      try {
        auto actual = run_case(c, context, Backend::emu, real);
        check_outputs(c, actual, expected, real);
        ++ran[size_t(v.number)];
      } catch (const ConfigError& e) {
        CHECK_MESSAGE(v.number > 1, std::string(e.what()));
      } catch (const Error& e) {
        FAIL_CHECK(std::string(e.what()));
      }
      emu::options().seed = 0;
    }
  }
  for (const Version& v : ladder)
    CHECK_MESSAGE(ran[size_t(v.number)] > 0, name(op), " ", name(pass), " ", name(real), ": no case for version ", v.number);
}
void check_ladders(std::initializer_list<Op> ops) {
  for (Op op : ops)
    for (Pass pass : passes(op))
      for (DType real : {DType::f32, DType::bf16}) {
        CHECK_MESSAGE(has_kernel(op, pass, Backend::emu, real), name(op), " ", name(pass), " ", name(real));
        if (versions(op, pass, Backend::emu, real).size() > 1) check_ladder(op, pass, real);
      }
}

}  // namespace

// What the GPU's tests run (cases_cuda.cpp) misses no version.
TEST_CASE("versions: each has a case that it accepts") {
  Context context(1);
  std::vector<const Case*> cases;
  for (const Case& c : all_cases())
    if (c.tier <= Tier::ci) cases.push_back(&c);
  std::ranges::stable_sort(cases, {}, [](const Case* c) { return c->cost.flops; });
  const auto accepted = [&](const Case& c, DType real) {
    try {
      run_case(c, context, Backend::emu, real);
      return true;
    } catch (const ConfigError&) {
      return false;
    }
  };
  for (int op = 0; op < kOps; ++op)
    for (Pass pass : passes(Op(op)))
      for (DType real : {DType::f32, DType::bf16})
        for (const Version& v : versions(Op(op), pass, Backend::emu, real)) {
          if (v.by_request) continue;
          context.set_version(Op(op), v.number);
          const bool any =
              std::ranges::any_of(cases, [&](const Case* c) { return c->op == Op(op) && c->pass == pass && accepted(*c, real); });
          CHECK_MESSAGE(any, name(Op(op)), " ", name(pass), " ", name(real), ": no case for version ", v.number, " ", v.name);
        }
}

TEST_CASE("versions elementwise") {
  check_ladders({Op::activation, Op::binary, Op::axpby, Op::dropout, Op::cast, Op::copy_blocks, Op::permute});
}
TEST_CASE("versions softmax") { check_ladders({Op::softmax, Op::log_softmax}); }
TEST_CASE("versions layer_norm") { check_ladders({Op::layer_norm, Op::group_norm}); }
TEST_CASE("versions loss") { check_ladders({Op::cross_entropy, Op::cross_entropy_inplace, Op::mse}); }
TEST_CASE("versions images") { check_ladders({Op::max_pool2d, Op::avg_pool2d, Op::batch_norm, Op::batch_norm_frozen}); }
TEST_CASE("versions optim") { check_ladders({Op::sgd, Op::adamw, Op::global_norm}); }
TEST_CASE("versions embedding") { check_ladders({Op::embedding}); }
