#include "nn/optim/schedule.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/error.h"

namespace graft::nn {
namespace {

void check_rate(const char* schedule, double lr) {
  check<ConfigError>(lr >= 0 && std::isfinite(lr), "{}: lr: expected at least 0, got {}", schedule, lr);
}
void check_steps(const char* schedule, int64_t steps) {
  check<ConfigError>(steps > 0, "{}: steps: expected more than 0, got {}", schedule, steps);
}

// From a (at 0) to b (at 1) along half a cosine.
double cosine_arc(double a, double b, double t) { return b + (a - b) * (1 + std::cos(M_PI * t)) / 2; }

}  // namespace

Schedule constant(double lr) {
  check_rate("constant", lr);
  return [lr](int64_t) { return lr; };
}

Schedule step_decay(double lr, int64_t total, const std::vector<double>& fractions, double gamma) {
  check_rate("step_decay", lr);
  check_steps("step_decay", total);
  check<ConfigError>(gamma > 0 && gamma <= 1, "step_decay: gamma: expected in (0, 1], got {}", gamma);
  double previous = 0;
  for (double f : fractions) {
    check<ConfigError>(f > previous && f <= 1, "step_decay: fractions: expected rising in (0, 1], got {} after {}", f, previous);
    previous = f;
  }
  return [=](int64_t step) {
    // 0.85 * 100 is 85 in double, 0.55 * 100 is not 55: the tolerance keeps a drop on the step that was meant.
    const auto k =
        std::count_if(fractions.begin(), fractions.end(), [&](double f) { return double(step) >= f * double(total) - 1e-6; });
    return lr * std::pow(gamma, double(k));
  };
}

Schedule cosine(double lr, int64_t total, double lr_end) {
  check_rate("cosine", lr);
  check_rate("cosine", lr_end);
  check_steps("cosine", total);
  return [=](int64_t step) { return cosine_arc(lr, lr_end, double(std::min(step, total)) / double(total)); };
}

Schedule one_cycle(double lr, int64_t total, double warm_fraction, double start_div, double end_div) {
  check_rate("one_cycle", lr);
  check_steps("one_cycle", total);
  check<ConfigError>(start_div >= 1 && end_div >= 1, "one_cycle: divisors: expected at least 1, got {} and {}", start_div, end_div);
  const double top = warm_fraction * double(total) - 1, last = double(total) - 1;
  check<ConfigError>(top > 0 && top < last,
                     "one_cycle: warm_fraction: expected more than one step of {} before and after the top, got {}", total,
                     warm_fraction);
  return [=](int64_t step) {
    const double t = std::min(double(step), last);
    return t <= top ? cosine_arc(lr / start_div, lr, t / top) : cosine_arc(lr, lr / end_div, (t - top) / (last - top));
  };
}

Schedule slanted_triangular(double lr, int64_t total, double cut_fraction, double ratio) {
  check_rate("slanted_triangular", lr);
  check_steps("slanted_triangular", total);
  check<ConfigError>(cut_fraction > 0 && cut_fraction < 1, "slanted_triangular: cut_fraction: expected in (0, 1), got {}",
                     cut_fraction);
  check<ConfigError>(ratio >= 1, "slanted_triangular: ratio: expected at least 1, got {}", ratio);
  const double cut = std::floor(double(total) * cut_fraction + 1e-6);
  check<ConfigError>(cut >= 1, "slanted_triangular: {} steps are too few for a rise over {} of them", total, cut_fraction);
  return [=](int64_t step) {
    const double t = double(std::min(step, total));
    const double p = t < cut ? t / cut : std::max(0.0, 1 - (t - cut) / (cut * (1 / cut_fraction - 1)));
    return lr * (1 + p * (ratio - 1)) / ratio;
  };
}

Schedule warm_up(Schedule then, int64_t steps) {
  check<ConfigError>(bool(then), "warm_up: expected a schedule");
  check<ConfigError>(steps >= 0, "warm_up: steps: expected at least 0, got {}", steps);
  return [then = std::move(then), steps](int64_t step) {
    return step < steps ? then(step) * double(step + 1) / double(steps + 1) : then(step);
  };
}

}  // namespace graft::nn
