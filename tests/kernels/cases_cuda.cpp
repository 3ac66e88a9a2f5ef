// Every case of every op on the GPU against ref in double: each dtype, and each version of the ladders, of which none may be
// without a case that it accepts (ladders_test.cpp says the same without a GPU). In builds with CUDA kernels only; *not run*
// without a device. GRAFT_TIER=smoke: the small cases (under compute-sanitizer); GRAFT_CASES_VERSION=3: that version alone (a
// kernel that fails takes what comes after it in the process with it).
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

#include "kernels/common/error.h"
#include "kernels/common/versions.h"
#include "kernels/runtime/cuda/memory.h"
#include "tests/harness/check_outputs.h"
#include "tests/harness/skip.h"

using namespace graft;
using namespace graft::harness;

namespace {

Tier largest_tier() {
  const char* s = std::getenv("GRAFT_TIER");
  return s && std::string_view(s) == "smoke" ? Tier::smoke : Tier::ci;
}

// 0 is what runs by default; versions by request round more than their dtype promises and have tests of their own.
std::vector<int> numbers_to_run(const Case& c, DType real) {
  const char* one = std::getenv("GRAFT_CASES_VERSION");
  std::vector<int> numbers;
  if (!one || std::string_view(one) == "0") numbers.push_back(0);
  for (const Version& v : versions(c.op, c.pass, Backend::cuda, real))
    if (!v.by_request && (!one || std::to_string(v.number) == one)) numbers.push_back(v.number);
  return numbers;
}

// Adds to the versions that ran.
void run_on_cuda(const Case& c, Context& context, DType real, std::vector<Buffer>& expected, std::set<int>& ran) {
  for (int number : numbers_to_run(c, real)) {
    INFO(name(c.op), " ", name(c.pass), " ", c.name, " ", name(real), " version ", number);
    context.set_version(c.op, number);
    try {
      auto actual = run_case(c, context, Backend::cuda, real);
      check_outputs(c, actual, expected, real);
      ran.insert(number);
    } catch (const ConfigError& e) {
      CHECK_MESSAGE(number > 1, std::string(e.what()));  // a version that does not accept the shape
    } catch (const Error& e) {
      FAIL_CHECK(std::string(e.what()));
    }
  }
}

void run_op_on_cuda(Op op) {
  if (cuda::device_count() == 0) return not_run("no device: " + cuda::why_no_device());
  cuda::Allocator::set_poison(true);
  Context context(default_pool());
  int run = 0;
  for (Pass pass : passes(op))
    for (DType real : {DType::f32, DType::bf16}) {
      if (!has_kernel(op, pass, Backend::cuda, real)) continue;
      std::set<int> wanted, ran;
      for (const Case& c : all_cases()) {
        if (c.op != op || c.pass != pass || c.tier > largest_tier()) continue;
        ++run;
        const std::vector<int> numbers = numbers_to_run(c, real);
        if (numbers.empty()) continue;
        wanted.insert(numbers.begin(), numbers.end());
        auto expected = run_case(c, context, Backend::ref, DType::f64, real);
        run_on_cuda(c, context, real, expected, ran);
      }
      if (largest_tier() == Tier::ci)
        CHECK_MESSAGE(ran == wanted, name(op), " ", name(pass), " ", name(real), ": a version had no case");
    }
  CHECK_MESSAGE(run > 0, name(op), " has no kernel on cuda");
}

}  // namespace

#define OP(op, room, ...) \
  TEST_CASE("cuda " #op) { run_op_on_cuda(Op::op); }
#include "kernels/ops.def"
#undef OP
