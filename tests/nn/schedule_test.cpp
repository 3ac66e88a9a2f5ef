#include "nn/optim/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/common/error.h"

using namespace graft;
using namespace graft::nn;

TEST_CASE("step decay drops at fractions of the run") {
  const Schedule lr = step_decay(0.02, 300, {0.6, 0.85});
  for (auto [step, want] :
       {std::pair{0, 0.02}, {179, 0.02}, {180, 0.002}, {254, 0.002}, {255, 0.0002}, {299, 0.0002}, {1000, 0.0002}})
    CHECK(lr(step) == doctest::Approx(want).epsilon(1e-12));
  CHECK(step_decay(1, 100, {0.55})(55) == doctest::Approx(0.1));  // 0.55 * 100 is above 55 in double
  CHECK(step_decay(1, 100, {0.55})(54) == 1);
}

TEST_CASE("cosine") {
  const Schedule lr = cosine(0.5, 200, 0.1);
  for (int step = 0; step <= 200; ++step)
    CHECK(lr(step) == doctest::Approx(0.1 + 0.5 * 0.4 * (1 + std::cos(M_PI * step / 200))).epsilon(1e-12));
  CHECK(lr(200) == doctest::Approx(0.1));
  CHECK(lr(999) == doctest::Approx(0.1));
}

TEST_CASE("one cycle has PyTorch's values") {
  const Schedule lr = one_cycle(0.4, 20, 0.25, 10,
                                1000);  // OneCycleLR(max_lr=.4, total_steps=20, pct_start=.25, div_factor=10, final_div_factor=100)
  CHECK(lr(0) == doctest::Approx(0.04));
  CHECK(lr(2) == doctest::Approx(0.22));
  CHECK(lr(4) == doctest::Approx(0.4));
  CHECK(lr(19) == doctest::Approx(0.0004));
  for (int step = 5; step < 20; ++step) {
    CHECK(lr(step) == doctest::Approx(0.0004 + 0.3996 * (1 + std::cos(M_PI * (step - 4) / 15.0)) / 2).epsilon(1e-12));
    CHECK(lr(step) < lr(step - 1));
  }
}

TEST_CASE("slanted triangular: the paper's table for 1000 steps") {
  const Schedule lr = slanted_triangular(0.01, 1000);
  for (int t = 0; t < 1000; ++t) {
    const double cut = 100, p = t < cut ? t / cut : 1 - (t - cut) / (cut * (1 / 0.1 - 1));
    CHECK(std::abs(lr(t) - 0.01 * (1 + p * 31) / 32) <= 1e-9);
  }
  CHECK(lr(0) == doctest::Approx(0.01 / 32));
  CHECK(lr(100) == doctest::Approx(0.01));
}

TEST_CASE("warm-up rises in equal steps into the schedule behind it") {
  const Schedule lr = warm_up(constant(1), 4);
  for (int step = 0; step < 4; ++step) CHECK(lr(step) == doctest::Approx(0.2 * (step + 1)));
  CHECK(lr(4) == 1);
  CHECK(warm_up(constant(1), 0)(0) == 1);
}

TEST_CASE("schedules refuse arguments that make no sense") {
  CHECK_THROWS_AS(constant(-1), ConfigError);
  CHECK_THROWS_AS(constant(NAN), ConfigError);
  CHECK_THROWS_AS(step_decay(1, 0, {}), ConfigError);
  CHECK_THROWS_WITH_AS(step_decay(1, 10, {0.8, 0.6}), "step_decay: fractions: expected rising in (0, 1], got 0.6 after 0.8",
                       ConfigError);
  CHECK_THROWS_AS(step_decay(1, 10, {0.5}, 0), ConfigError);
  CHECK_THROWS_AS(cosine(1, -5), ConfigError);
  CHECK_THROWS_AS(one_cycle(1, 100, 1), ConfigError);
  CHECK_THROWS_AS(one_cycle(1, 100, 0.3, 0.5), ConfigError);
  CHECK_THROWS_AS(slanted_triangular(1, 5), ConfigError);
  CHECK_THROWS_AS(slanted_triangular(1, 100, 0.1, 0.5), ConfigError);
  CHECK_THROWS_AS(warm_up({}, 3), ConfigError);
  CHECK_THROWS_AS(warm_up(constant(1), -3), ConfigError);
}
