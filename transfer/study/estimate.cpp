#include "transfer/study/estimate.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <thread>

#include "nn/models/models.h"
#include "nn/table.h"
#include "transfer/evaluate.h"
#include "transfer/freeze.h"
#include "transfer/study/schedule.h"

namespace graft::study {

namespace {

// Seconds with the first `cut` blocks frozen.
struct Times {
  double step = 0;  // of a batch from the cached prefix
  double step_uncached = 0;
  double prefix = 0;  // of one image through the prefix
};

struct Measurement {
  std::map<int64_t, Times> cuts;
  double test = 0;  // of one image
};

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The machine is shared: what else runs on it can only add to a time.
double least(const std::function<double()>& seconds) {
  constexpr int kRepeats = 3;
  double least = seconds();
  for (int i = 1; i < kRepeats; ++i) least = std::min(least, seconds());
  return least;
}

Measurement measure(const Grid& grid, const CellData& whole, int64_t classes, int64_t steps) {
  CellData data = whole;
  std::vector<int64_t> items(size_t(std::min(whole.train.size(), steps * grid.config().train.batch)));
  for (size_t i = 0; i < items.size(); ++i) items[i] = int64_t(i * size_t(whole.train.size()) / items.size());
  data.train = io::select_items(whole.train, items);
  transfer::TrainConfig config = train_config(grid.config(), Condition::base, data.preprocessing);
  config.epochs = 1;
  config.lr = 1e-6;  // the measurement must not diverge

  const bool cacheable = !data.preprocessing.augment.random();
  std::vector<int64_t> cuts = {0};
  cuts.insert(cuts.end(), grid.cuts().begin(), grid.cuts().end());
  Measurement m;
  for (int64_t cut : cuts) {
    CellLabel label;
    label.condition = cut ? Condition::RnB : Condition::base;
    label.cut = cut;
    const auto network = make_network(grid.config(), label, grid.input(), classes, nullptr);
    network->to(DType::f32, grid.config().device);
    const auto step = [&](const transfer::Activations* prefix) {
      return least([&] {
        const auto r = transfer::train(*network, data.train, {}, config, {}, prefix);
        return r.seconds / double(std::max<int64_t>(1, r.steps));
      });
    };
    Times& t = m.cuts[cut];
    t.step = t.step_uncached = step(nullptr);
    if (cut && cacheable) {
      std::shared_ptr<const transfer::Activations> prefix;
      t.prefix = least([&] {
                   transfer::PrefixCache cache({});
                   return seconds_of([&] { prefix = cache.get(*network, cut, data.train, data.preprocessing); });
                 }) /
                 double(data.train.size());
      if (prefix) t.step = step(prefix.get());
      else t.prefix = 0;
    }
    if (!cut) {
      transfer::EvaluateOptions options;
      options.preprocessing = data.preprocessing.for_evaluation();
      m.test =
          least([&] { return seconds_of([&] { transfer::evaluate(*network, data.train, options); }); }) / double(data.train.size());
    }
  }
  return m;
}

// All jobs measure at the same time, as they will run; the mean of them.
Measurement measure_jobs(Grid& grid, const EstimateOptions& options) {
  const Cell& first = grid.cells().front();
  const auto data = grid.data(first);
  std::vector<Measurement> all(static_cast<size_t>(options.jobs));
  std::vector<std::exception_ptr> errors(all.size());
  std::vector<std::thread> threads;
  for (size_t job = 0; job < all.size(); ++job)
    threads.emplace_back([&, job] {
      try {
        Context context(job_threads(options.jobs));
        ContextScope scope(context);
        all[job] = measure(grid, *data, grid.classes(first), options.steps);
      } catch (...) {
        errors[job] = std::current_exception();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const auto& e : errors)
    if (e) std::rethrow_exception(e);
  Measurement mean;
  const double share = 1 / double(all.size());
  for (const Measurement& m : all) {
    mean.test += share * m.test;
    for (const auto& [cut, t] : m.cuts) {
      Times& sum = mean.cuts[cut];
      sum.step += share * t.step;
      sum.step_uncached += share * t.step_uncached;
      sum.prefix += share * t.prefix;
    }
  }
  return mean;
}

CellCost cost(const Grid& grid, const Cell& cell, const std::vector<nn::LayerRow>& layers, const Measurement* m) {
  const CellLabel& l = cell.label;
  const int64_t frozen = is_frozen(l.condition) ? l.cut : 0;
  double below = 0, above = 0;
  for (size_t i = 0; i < layers.size(); ++i) (int64_t(i) < frozen ? below : above) += double(layers[i].multiply_adds);
  const transfer::TrainConfig config = train_config(grid.config(), l.condition, {});
  const double images = double(grid.train_images(cell)), tests = double(grid.test_images(cell));
  const double steps = double(transfer::total_steps(config, grid.train_images(cell)));
  const double passes = steps * double(config.batch);
  const double seen = std::min(passes, images * double(config.epochs) * config.stretch);
  const bool cached = frozen && !grid.config().train.preprocessing.augment.random();
  const double train = 3 * above - double(layers[size_t(frozen)].multiply_adds);
  CellCost c;
  c.multiply_adds_uncached = seen * (below + train) + tests * (below + above);
  c.multiply_adds = cached ? images * below + seen * train + tests * (below + above) : c.multiply_adds_uncached;
  if (m) {
    const Times& t = m->cuts.at(frozen);
    c.seconds_uncached = steps * t.step_uncached + tests * m->test;
    c.seconds = cached ? steps * t.step + images * t.prefix + tests * m->test : c.seconds_uncached;
  }
  return c;
}

}  // namespace

int job_threads(int jobs) { return std::max(1, default_pool().size() / std::max(1, jobs)); }

Estimate estimate(Grid& grid, const EstimateOptions& options) {
  const auto network = nn::make_model({grid.config().model, grid.input(), grid.classes(grid.cells().front())});
  const auto layers = nn::layer_rows(*network, grid.input());
  std::optional<Measurement> measurement;
  if (options.steps > 0) measurement = measure_jobs(grid, options);

  Estimate e;
  e.jobs = options.jobs;
  e.cells.resize(grid.cells().size());
  std::vector<size_t> todo;
  std::vector<double> seconds(e.cells.size()), uncached(e.cells.size());
  for (size_t i : grid.unique()) {
    e.cells[i] = cost(grid, grid.cells()[i], layers, measurement ? &*measurement : nullptr);
    seconds[i] = e.cells[i].seconds;
    uncached[i] = e.cells[i].seconds_uncached;
    if (!options.skip || !options.skip(grid.cells()[i])) todo.push_back(i);
  }
  e.to_run = int64_t(todo.size());
  e.seconds = makespan(grid.cells(), todo, seconds, options.jobs);
  e.seconds_uncached = makespan(grid.cells(), todo, uncached, options.jobs);
  return e;
}

std::string to_text(const Grid& grid, const Estimate& e) {
  struct Line {
    int64_t cells = 0, shared = 0;
    CellCost cost;
  };
  std::vector<std::pair<std::string, Line>> lines;
  const auto add = [](Line& line, const CellCost& c) {
    ++line.cells;
    line.shared += c.multiply_adds == 0;
    line.cost.multiply_adds += c.multiply_adds;
    line.cost.multiply_adds_uncached += c.multiply_adds_uncached;
    line.cost.seconds += c.seconds;
    line.cost.seconds_uncached += c.seconds_uncached;
  };
  Line total;
  size_t width = 5;
  for (size_t i = 0; i < e.cells.size(); ++i) {
    const CellLabel& l = grid.cells()[i].label;
    std::string what = fmt::format("{:<14} {}", l.partition, name(l.condition));
    if (has_cut(l.condition)) what += fmt::format(" {}", l.cut);
    if (l.keep) what += fmt::format(" keep {}", l.keep);
    if (l.half == "S") what += " of " + l.target;
    if (l.images_per_class) what += fmt::format(", {} a class", l.images_per_class);
    auto found = std::ranges::find(lines, what, &std::pair<std::string, Line>::first);
    if (found == lines.end()) found = lines.insert(lines.end(), {what, {}});
    add(found->second, e.cells[i]);
    add(total, e.cells[i]);
    width = std::max(width, what.size());
  }
  std::string s = fmt::format("{:<{}} {:>6} {:>7} {:>22} {:>22}\n", "cells", width, "cells", "shared", "10^9 multiply-adds",
                              "seconds of one job");
  s += fmt::format("{:<{}} {:>6} {:>7} {:>11} {:>10} {:>11} {:>10}\n", "", width, "", "", "cached", "uncached", "cached",
                   "uncached");
  const auto print = [&](const std::string& what, const Line& l) {
    s += fmt::format("{:<{}} {:>6} {:>7} {:>11.2f} {:>10.2f} {:>11.1f} {:>10.1f}\n", what, width, l.cells, l.shared,
                     l.cost.multiply_adds / 1e9, l.cost.multiply_adds_uncached / 1e9, l.cost.seconds, l.cost.seconds_uncached);
  };
  for (const auto& [what, line] : lines) print(what, line);
  print("total", total);
  s += fmt::format(
      "{} networks to train with {} job{}: about {:.0f} s with the prefix cache, {:.0f} s without it (saving {:.0f} %)\n", e.to_run,
      e.jobs, e.jobs == 1 ? "" : "s", e.seconds, e.seconds_uncached, 100 * e.saving());
  return s;
}

}  // namespace graft::study
