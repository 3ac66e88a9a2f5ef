// The suites against what the papers and the published weights say of their models.
#include <doctest/doctest.h>

#include <set>

#include "bench/suites/suites.h"
#include "kernels/common/error.h"

using namespace graft;
using namespace graft::bench;

namespace {

Suite named(std::string_view name) {
  for (const Suite& s : suites())
    if (s.name == name) return s;
  FAIL("no suite ", std::string(name));
  return {};
}

double multiply_adds(const std::vector<Job>& jobs, Pass pass) {
  double sum = 0;
  for (const Job& j : jobs)
    if (j.c.pass == pass && (j.c.op == Op::conv2d || j.c.op == Op::depthwise_conv2d || j.c.op == Op::linear))
      sum += j.times * j.c.cost.flops / 2;
  return sum;
}

// What the optimiser's step updates: its first argument of each tensor.
int64_t parameters(const std::vector<Job>& jobs) {
  int64_t n = 0;
  for (const Job& j : jobs) {
    if (j.c.pass != Pass::step) continue;
    const size_t per_tensor = j.c.op == Op::sgd ? 3 : 4;
    for (size_t i = 0; i < j.c.args.size(); i += per_tensor) n += j.c.args[i].n;
  }
  return n;
}

}  // namespace

TEST_CASE("suites: parameters and multiply-adds of the models") {
  struct Known {
    const char* name;
    int64_t parameters;
    double giga;  // multiply-adds of one input, of convolutions and linear layers
  };
  // torchvision's and Hugging Face's counts; multiply-adds as torchvision's, or by the formula where there is none.
  for (const Known& k : {Known{"resnet50", 25557032, 4.089},
                         {"vgg", 138357544, 15.470},
                         {"efficientnet", 5288548, 0.386},
                         {"gpt2", 124439808, 1024 * (12 * 12 * 768.0 * 768 + 768.0 * 50257) * 1e-9},
                         {"bert", 109483778, (128 * 12 * 12 * 768.0 * 768 + 768.0 * 770) * 1e-9},
                         {"vit", 86567656, (197 * 12 * 12 * 768.0 * 768 + 196 * 768.0 * 768 + 768.0 * 1000) * 1e-9},
                         {"study", 146757, 0.00394}}) {
    INFO(k.name);
    const std::vector<Job> jobs = suite_jobs(named(k.name), Mode::train, Backend::cpu, 2);
    CHECK(parameters(jobs) == k.parameters);
    CHECK(multiply_adds(jobs, Pass::forward) / 2 == doctest::Approx(k.giga * 1e9).epsilon(0.001));
    CHECK(multiply_adds(jobs, Pass::wgrad) == multiply_adds(jobs, Pass::forward));
  }
}

TEST_CASE("suites: every case once, inference forward alone, batches as asked") {
  REQUIRE(suites().size() == 8);
  for (const Suite& s : suites())
    for (Mode mode : {Mode::train, Mode::infer}) {
      INFO(std::string(s.name));
      std::set<std::string> seen;
      const auto jobs = suite_jobs(s, mode, Backend::cpu, 0);
      CHECK(!jobs.empty());
      for (const Job& j : jobs) {
        CHECK(seen.insert(std::string(name(j.c.op)) + std::string(name(j.c.pass)) + j.c.name).second);
        CHECK((mode == Mode::train || j.c.pass == Pass::forward));
        CHECK(j.c.cost.bytes > 0);
      }
    }
  const auto three = suite_jobs(named("resnet50"), Mode::infer, Backend::cuda, 3);
  CHECK(three[0].c.name.find("n=3 224x224x3") == 0);
}

TEST_CASE("suites: what does not exist gives the nearest name") {
  CHECK_THROWS_WITH_AS(select_jobs({.op = "matmull"}), "bench: no op 'matmull': did you mean 'matmul'?", ConfigError);
  CHECK_THROWS_WITH_AS(select_jobs({.suite = "resnet5"}), "bench: no suite 'resnet5': did you mean 'resnet50'?", ConfigError);
  CHECK_THROWS_WITH_AS(select_jobs({.pass = "dgrat"}), "bench: no pass 'dgrat': did you mean 'dgrad'?", ConfigError);
  CHECK_THROWS_WITH_AS(select_jobs({.op = "matmul", .suite = "resnet50"}),
                       "bench: suite resnet50 has no case of op matmul (--list shows them)", ConfigError);
  CHECK(select_jobs({.op = "matmul", .shape = "=batch=1 m=1024 n=64 k=576 nn"}).size() == 1);
  CHECK(select_jobs({.verify_only = true}).size() > 300);
}
