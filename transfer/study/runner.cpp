#include "transfer/study/runner.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <exception>
#include <set>
#include <thread>

#include "io/weights/weights.h"
#include "kernels/common/version.h"
#include "tensor/device.h"
#include "transfer/load.h"
#include "transfer/study/schedule.h"

namespace graft::study {

namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string joined(const auto& values) {
  std::string s;
  for (const auto& v : values) s += fmt::format("{}{}", s.empty() ? "" : " ", v);
  return s;
}

StudyConfig configured(StudyConfig config, const RunOptions& options) {
  if (options.seeds) {
    check<ConfigError>(*options.seeds >= 1, "seeds: expected 1 or more, got {}", *options.seeds);
    config.seeds = *options.seeds;
  }
  config.device = options.device;
  return config;
}

int job_count(const RunOptions& options, size_t cells) {
  check<ConfigError>(options.jobs >= 0, "jobs: expected 1 or more, got {}", options.jobs);
  const int cores = options.jobs ? options.jobs : options.device == Device{} ? default_pool().size() : 1;
  return int(std::clamp<size_t>(cells, 1, size_t(cores)));
}

// Keys of a shard: those at the ranks index, index + count, ... of all keys in order, and their sources.
std::set<std::string> shard_keys(const Grid& grid, const Shard& shard) {
  std::vector<const Cell*> cells;
  for (size_t i : grid.unique()) cells.push_back(&grid.cells()[i]);
  std::ranges::sort(cells, {}, [](const Cell* c) { return c->key; });
  std::set<std::string> keys;
  for (size_t i = size_t(shard.index - 1); i < cells.size(); i += size_t(shard.count)) {
    keys.insert(cells[i]->key);
    if (!cells[i]->source_key.empty()) keys.insert(cells[i]->source_key);
  }
  return keys;
}

class Run {
 public:
  Run(Grid& grid, const RunOptions& options, Progress& progress)
      : grid_(grid), options_(options), progress_(progress), store_(options.out, Store::Mode::write) {
    store_.on_step = options.on_step;
    if (!options.no_cache) cache_.emplace(transfer::CacheOptions{options.cache_memory, options.out / "cache"});
  }

  RunSummary run() {
    const auto start = std::chrono::steady_clock::now();
    plan();
    RunSummary s;
    s.cells = int64_t(grid_.cells().size());
    s.reused = reused_;
    if (!todo_.empty()) work();
    s.run = finished_;
    s.diverged = diverged_;
    s.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (error_) std::rethrow_exception(error_);
    check<Interrupted>(!interrupted(), "interrupted: {} of {} networks are done and saved; the same command goes on from there",
                       finished_ + reused_, todo_.size() + size_t(reused_));
    return s;
  }

 private:
  // What is left to do, and the facts about the study, before anything is trained.
  void plan() {
    const std::set<std::string> mine = shard_keys(grid_, options_.shard);
    for (size_t i : grid_.unique()) {
      const Cell& cell = grid_.cells()[i];
      if (!mine.contains(cell.key)) continue;
      if (is_done(cell)) ++reused_;
      else todo_.push_back(i);
    }
    std::set<std::string> pending;
    for (size_t i : todo_) pending.insert(grid_.cells()[i].key);
    jobs_ = job_count(options_, todo_.size());
    estimate_ = estimate(
        grid_, {jobs_, todo_.empty() ? 0 : options_.calibration_steps, [&](const Cell& c) { return !pending.contains(c.key); }});

    const StudyConfig& c = grid_.config();
    std::map<std::string, std::string> facts = {{"name", c.name},
                                                {"config", c.text},
                                                {"config_file", c.name + ".toml"},
                                                {"seeds", std::to_string(c.seeds)},
                                                {"cuts", joined(grid_.cuts())},
                                                {"blocks", joined(grid_.blocks())},
                                                {"target", target(c.device)},
                                                {"kernel_version", std::to_string(kKernelVersion)}};
    if (!todo_.empty()) {
      facts["commit"] = options_.commit;
      facts["jobs"] = std::to_string(jobs_);
      facts["cache"] = options_.no_cache ? "off" : "on";
    }
    if (!todo_.empty() && options_.calibration_steps > 0) {
      double cached = 0, uncached = 0;
      for (const CellCost& cost : estimate_.cells) cached += cost.seconds, uncached += cost.seconds_uncached;
      facts["predicted_seconds"] = fmt::format("{}", cached);
      facts["predicted_seconds_uncached"] = fmt::format("{}", uncached);
      facts["predicted_wall_seconds"] = fmt::format("{}", options_.no_cache ? estimate_.seconds_uncached : estimate_.seconds);
    }
    std::vector<std::pair<CellLabel, std::string>> cells;
    for (const Cell& cell : grid_.cells()) cells.emplace_back(cell.label, cell.key);
    store_.plan(cells);
    store_.set_meta(facts);
  }

  bool is_done(const Cell& cell) {
    const auto row = store_.result(cell.key);
    if (!row) return false;
    if (!cell.shared || row->result.status != "done") return true;
    try {
      load_network(cell, *row);
      return true;
    } catch (const Error& e) {
      progress_.message(fmt::format("{}: its weights are trained again: {}", cell.label.str(), e.what()));
      return false;
    }
  }

  // A base network as saved; LoadError when the file is not what the store recorded.
  std::unique_ptr<nn::Chain> load_network(const Cell& cell, const Row& row) {
    auto network = make_network(grid_.config(), cell.label, grid_.input(), grid_.classes(cell), nullptr);
    const auto file = options_.out / row.weights_file;
    transfer::load(*network, io::load_weights(file));
    const std::string hash = fmt::format("{:016x}", transfer::hash_weights(*network));
    check<LoadError>(hash == row.result.weights_hash, "{}: expected weights with hash {}, got {}", file.string(),
                     row.result.weights_hash, hash);
    return network;
  }

  void work() {
    std::vector<double> costs;
    costs.reserve(estimate_.cells.size());
    for (const CellCost& c : estimate_.cells) costs.push_back(options_.no_cache ? c.multiply_adds_uncached : c.multiply_adds);
    schedule_.emplace(grid_.cells(), todo_, costs);
    tell([&] { progress_.study_started(grid_, estimate_, int64_t(todo_.size()), reused_, jobs_); });
    std::vector<std::thread> threads;
    threads.reserve(size_t(jobs_));
    for (int slot = 0; slot < jobs_; ++slot) threads.emplace_back([this, slot] { work(slot); });
    for (std::thread& t : threads) t.join();
  }

  // One job: takes cells until none is left.
  void work(int slot) {
    Context context(job_threads(jobs_));
    ContextScope scope(context);
    std::unique_lock lock(mutex_);
    while (!stopped() && schedule_->left()) {
      const auto next = schedule_->take();
      if (!next) {  // wakes up by itself now and then, since a signal notifies nobody
        ready_.wait_for(lock, std::chrono::milliseconds(100));
        continue;
      }
      lock.unlock();
      try {
        run_one(slot, grid_.cells()[*next]);
      } catch (const Interrupted&) {
        stop_ = true;
      } catch (...) {
        std::lock_guard guard(mutex_);
        if (!error_) error_ = std::current_exception();
        stop_ = true;
      }
      lock.lock();
      if (!stop_) schedule_->finish(*next);
      ready_.notify_all();
    }
  }

  void run_one(int slot, const Cell& cell) {
    tell([&] { progress_.cell_started(slot, cell); });
    Row row;
    row.label = cell.label;
    row.key = cell.key;
    row.identity = cell.identity;
    row.source_key = cell.source_key;
    row.commit = options_.commit;

    std::unique_ptr<nn::Chain> source;
    if (!cell.source_key.empty()) source = source_network(cell);
    if (!cell.source_key.empty() && !source) {
      row.result.status = "source diverged";
    } else {
      const auto data = grid_.data(cell);
      const auto network = make_network(grid_.config(), cell.label, grid_.input(), grid_.classes(cell), source.get());
      source.reset();
      CellHooks hooks;
      hooks.cancel = &stop_;
      hooks.progress = [&](const transfer::TrainProgress& p) {
        stopped();
        tell([&] { progress_.cell_training(slot, cell, p); });
      };
      row.result = run_cell(grid_.config(), cell, *data, *network, cache_ ? &*cache_ : nullptr, hooks);
      if (cell.shared && row.result.status == "done") {
        row.weights_file = fmt::format("networks/{}.safetensors", cell.key);
        std::filesystem::create_directories(options_.out / "networks");
        io::save_safetensors(options_.out / row.weights_file, transfer::to_file_layout(*network),
                             {{"cell", cell.label.str()}, {"model", grid_.config().model}});
        if (options_.on_step) options_.on_step("network");
      }
    }
    row.finished = utc_now();
    {
      std::lock_guard lock(mutex_);
      store_.commit(row);
      ++finished_;
      diverged_ += row.result.status != "done";
    }
    tell([&] { progress_.cell_finished(slot, cell, row.result, finished_ + reused_, int64_t(todo_.size()) + reused_); });
  }

  // Null when it diverged.
  std::unique_ptr<nn::Chain> source_network(const Cell& cell) {
    std::optional<Row> row;
    {
      std::lock_guard lock(mutex_);
      row = store_.result(cell.source_key);
    }
    check<InternalError>(row.has_value(), "{}: runs before its source", cell.label.str());
    if (row->result.status != "done") return nullptr;
    const auto found = std::ranges::find(grid_.cells(), cell.source_key, &Cell::key);
    return load_network(*found, *row);
  }

  bool interrupted() const { return options_.cancel && *options_.cancel; }
  bool stopped() {
    if (interrupted()) stop_ = true;
    return stop_;
  }
  template <class F>
  void tell(F&& f) {
    std::lock_guard lock(progress_mutex_);
    f();
  }

  Grid& grid_;
  const RunOptions& options_;
  Progress& progress_;
  Store store_;
  std::optional<transfer::PrefixCache> cache_;
  Estimate estimate_;
  std::vector<size_t> todo_;
  int jobs_ = 1;
  int64_t reused_ = 0;

  std::mutex progress_mutex_;  // one call at a time
  std::mutex mutex_;           // of what follows, and the store
  std::condition_variable ready_;
  std::optional<Schedule> schedule_;
  std::exception_ptr error_;
  std::atomic<int64_t> finished_{0}, diverged_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace

Shard parse_shard(std::string_view text) {
  Shard s;
  const auto number = [](std::string_view part, int64_t& out) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), out);
    return error == std::errc() && end == part.data() + part.size();
  };
  const size_t slash = text.find('/');
  check<ConfigError>(slash != text.npos && number(text.substr(0, slash), s.index) && number(text.substr(slash + 1), s.count) &&
                         s.index >= 1 && s.index <= s.count,
                     "shard: expected i/N with i from 1 to N, got '{}'", text);
  return s;
}

RunSummary run_study(StudyConfig config, const RunOptions& options, Progress& progress) {
  Grid grid(configured(std::move(config), options), options.provider);
  return Run(grid, options, progress).run();
}

DryRun dry_run(StudyConfig config, const RunOptions& options) {
  DryRun d;
  d.grid = std::make_unique<Grid>(configured(std::move(config), options), options.provider);
  const std::set<std::string> mine = shard_keys(*d.grid, options.shard);
  d.estimate = estimate(
      *d.grid, {job_count(options, mine.size()), options.calibration_steps, [&](const Cell& c) { return !mine.contains(c.key); }});
  return d;
}

}  // namespace graft::study
