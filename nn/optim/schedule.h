// Learning rates as pure functions of the step (the first is 0). All factories throw ConfigError for arguments that
// make no sense. A step at or beyond the end keeps the last rate.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace graft::nn {

using Schedule = std::function<double(int64_t step)>;

Schedule constant(double lr);

// lr gamma^k, where k counts the fractions f with step >= f total: {0.6, 0.85} and gamma 0.1 give lr, 0.1 lr, 0.01 lr.
Schedule step_decay(double lr, int64_t total, const std::vector<double>& fractions, double gamma = 0.1);

// From lr to lr_end along half a cosine (Loshchilov & Hutter 2017): lr_end is reached at step `total`.
Schedule cosine(double lr, int64_t total, double lr_end = 0);

// Smith & Topin 2018 with cosine arcs: from lr / start_div to lr over warm_fraction of the steps, then down to lr /
// end_div at the last step, total - 1. (PyTorch's OneCycleLR with final_div_factor = end_div / start_div.)
Schedule one_cycle(double lr, int64_t total, double warm_fraction = 0.25, double start_div = 25, double end_div = 1e5);

// Howard & Ruder 2018: cut = floor(total cut_fraction); p = t / cut below the cut, else 1 - (t - cut) / (cut (1 /
// cut_fraction - 1)); the rate is lr (1 + p (ratio - 1)) / ratio.
Schedule slanted_triangular(double lr, int64_t total, double cut_fraction = 0.1, double ratio = 32);

// The first `steps` rates of `then` are multiplied by (step + 1) / (steps + 1).
Schedule warm_up(Schedule then, int64_t steps);

}  // namespace graft::nn
