// Every case of every op: cpu against ref in double, the same bits with 1, 2 and 3 threads, nothing written outside.
#include <doctest/doctest.h>

#include "kernels/common/error.h"
#include "kernels/runtime/cpu/target.h"
#include "kernels/runtime/cuda/driver.h"
#include "kernels/runtime/emu/emu.h"
#include "tests/harness/cases.h"
#include "tests/harness/check_outputs.h"
#include "tests/harness/skip.h"

using namespace graft;
using namespace graft::harness;

namespace {

void run_op(Op op) {
  try {
    cpu::target();
  } catch (const ConfigError& e) {
    return not_run(e.what());
  }
  Context one(1), two(2), three(3);
  for (Pass pass : passes(op)) {
    int run = 0;
    for (const Case& c : all_cases()) {
      if (c.op != op || c.pass != pass || c.tier > Tier::ci) continue;
      ++run;
      INFO(name(op), " ", name(pass), " ", c.name);
      auto expected = run_case(c, one, Backend::ref, DType::f64);
      auto actual = run_case(c, one, Backend::cpu, DType::f32);
      check_outputs(c, actual, expected);
      for (Context* context : {&two, &three}) {
        auto again = run_case(c, *context, Backend::cpu, DType::f32);
        for (size_t i = 0; i < again.size(); ++i)
          CHECK_MESSAGE(std::memcmp(again[i].payload(), actual[i].payload(), actual[i].payload_bytes()) == 0, "argument ", i,
                        " has other bits with ", context->pool().size(), " threads");
      }
    }
    CHECK_MESSAGE(run > 0, name(op), " ", name(pass), " has no case in tests/cases");
  }
}

}  // namespace

#define OP(op, room, ...) \
  TEST_CASE("cases " #op) { run_op(Op::op); }
#include "kernels/ops.def"
#undef OP

// The CUDA kernels on the host: in order, and in random orders of blocks, warps and lanes.
void run_on_emu(const Case& c, Context& context, DType real) {
  auto expected = run_case(c, context, Backend::ref, DType::f64, real);
  for (uint64_t seed : {0, 1, 2}) {
    if (seed && c.tier != Tier::smoke) continue;
    INFO(name(c.op), " ", name(c.pass), " ", c.name, " ", name(real), " schedule ", seed);
    emu::options().seed = seed;
    try {
      auto actual = run_case(c, context, Backend::emu, real);
      check_outputs(c, actual, expected, real);
    } catch (const Error& e) {
      FAIL_CHECK(std::string(e.what()));
    }
  }
  emu::options().seed = 0;
}
void run_op_on_emu(Op op) {
  // An access costs some 50 ns, a CUDA thread more: seconds an op. bf16 differs from f32 in loads and stores: fewer large shapes.
#if defined(__SANITIZE_THREAD__)  // twenty times as long
  constexpr double kMaxFlops = 2e4, kMaxFlopsBf16 = 3e3;
#else
  constexpr double kMaxFlops = 5e5, kMaxFlopsBf16 = 6e4;
#endif
  Context context(1);
  for (Pass pass : passes(op))
    for (DType real : {DType::f32, DType::bf16}) {
      if (!has_kernel(op, pass, Backend::emu, real)) continue;  // "every op has" says so
      int run = 0;
      for (const Case& c : all_cases())
        if (c.op == op && c.pass == pass && c.tier <= Tier::ci &&
            (c.cost.on_emu || c.cost.flops <= (real == DType::bf16 ? kMaxFlopsBf16 : kMaxFlops)))
          run_on_emu(c, context, real), ++run;
      CHECK_MESSAGE(run > 0, name(op), " ", name(pass), " ", name(real), " has no case of at most ", kMaxFlopsBf16, " flops");
    }
}
#define OP(op, room, ...) \
  TEST_CASE("emu " #op) { run_op_on_emu(Op::op); }
#include "kernels/ops.def"
#undef OP

TEST_CASE("an empty slot throws by name") {
  if (cuda::built_in()) return;  // no slot is empty
  Context context(1);
  for (const Case& c : all_cases()) {
    if (c.op != Op::activation || c.pass != Pass::forward) continue;
    CHECK_THROWS_WITH_AS(run_case(c, context, Backend::cuda, DType::f32),
                         doctest::Contains("activation: no forward kernel for f32 on cuda"), NotImplemented);
    break;
  }
}

TEST_CASE("every op has ref in float and double, cpu in float, and emu in float and bf16 where the build has it") {
  const bool emu = has_kernel(Op::matmul, Pass::forward, Backend::emu, DType::f32);
  for (int i = 0; i < kOps; ++i)
    for (Pass pass : passes(Op(i))) {
      INFO(name(Op(i)), " ", name(pass));
      CHECK(has_kernel(Op(i), pass, Backend::ref, DType::f64));
      CHECK(has_kernel(Op(i), pass, Backend::ref, DType::f32));
      CHECK(has_kernel(Op(i), pass, Backend::cpu, DType::f32));
      for (DType real : {DType::f32, DType::bf16}) CHECK(has_kernel(Op(i), pass, Backend::emu, real) == emu);
    }
}
