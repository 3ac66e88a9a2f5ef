// Every version of every op on emu, in both of its types, against ref in double, on the small cases: tests of ops run the default.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/philox.h"
#include "kernels/common/versions.h"
#include "kernels/loss/loss.h"
#include "kernels/runtime/emu/emu.h"
#include "tests/harness/cases.h"
#include "tests/harness/check_outputs.h"

using namespace graft;
using namespace graft::harness;

namespace {

constexpr double kMaxFlops = 2e4;
constexpr int kShifted = 2;  // cases of each version that also run with one argument after the other at an odd address

// Their versions want larger tiles: products_test.cpp, matmul_*_test.cpp, attention_test.cpp.
constexpr Op kLarge[] = {Op::matmul, Op::linear, Op::conv2d, Op::depthwise_conv2d, Op::attention};

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
      if (v.by_request) continue;  // rounds otherwise
      INFO(name(op), " ", name(pass), " ", c.name, " ", name(real), " version ", v.number, " ", v.name);
      context.set_version(op, v.number);
      emu::options().seed = c.tier == Tier::smoke ? 1 : 0;
      const auto accepts = [&](int shifted) {
        INFO("argument ", shifted, " is not aligned");
        try {
          auto actual = run_case(c, context, Backend::emu, real, real, shifted);
          check_outputs(c, actual, expected, real);
          return true;
        } catch (const ConfigError& e) {
          CHECK_MESSAGE(v.number > 1, std::string(e.what()));
        } catch (const Error& e) {
          FAIL_CHECK(std::string(e.what()));
        }
        return false;
      };
      if (accepts(-1) && ++ran[size_t(v.number)] <= kShifted)
        for (size_t i = 0; i < c.args.size(); ++i)
          if (c.args[i].role != Arg::absent) accepts(int(i));
      emu::options().seed = 0;
    }
  }
  if (std::ranges::find(kLarge, op) != std::end(kLarge)) return;
  for (const Version& v : ladder)
    CHECK_MESSAGE(ran[size_t(v.number)] > 0, name(op), " ", name(pass), " ", name(real), ": no case for version ", v.number);
}
void check_ladders(Op op) {
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

#define OP(op, room, ...) \
  TEST_CASE("versions of " #op) { check_ladders(Op::op); }
#include "kernels/ops.def"
#undef OP

TEST_CASE("versions of cross_entropy: the gradient may take the place of x") {
  const CrossEntropyParams p{5, 264, 0.1};
  const size_t n = size_t(p.n * p.line());
  std::vector<float> x(n), normaliser(size_t(2 * p.n)), dx(n, NAN), dloss{1.5f};
  std::vector<int64_t> labels;
  const Philox random{1, 0};
  for (size_t i = 0; i < n; ++i) x[i] = float(random.normal(i));
  for (size_t i = 0; i < normaliser.size(); ++i) normaliser[i] = float(1 + i % 3);
  for (int64_t i = 0; i < p.n; ++i) labels.push_back((37 * i) % p.classes);
  Context context(1);
  const auto backward = [&](float* to, const float* from) {
    emu::options().seed = 1;
    const auto any = find_kernel(Op::cross_entropy, Pass::backward, Backend::emu, DType::f32, typeid(CrossEntropyBackward<float>));
    reinterpret_cast<CrossEntropyBackward<float>*>(any)(context, to, dloss.data(), from, normaliser.data(), labels.data(), p);
    emu::options().seed = 0;
  };
  for (const Version& v : versions(Op::cross_entropy, Pass::backward, Backend::emu, DType::f32)) {
    INFO("version ", v.number);
    context.set_version(Op::cross_entropy, v.number);
    std::vector<float> in_place = x;
    backward(dx.data(), x.data());
    backward(in_place.data(), in_place.data());
    CHECK(in_place == dx);
  }
}
