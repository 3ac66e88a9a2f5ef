#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/output.h"
#include "apps/verbs.h"
#include "commit.h"
#include "kernels/common/error.h"
#include "transfer/study/merge.h"
#include "transfer/study/report.h"
#include "transfer/study/runner.h"

namespace graft::apps {
namespace {

using Clock = std::chrono::steady_clock;

std::string minutes(double seconds) {
  const int64_t s = std::lround(seconds);
  return s < 60 ? fmt::format("{} s", s) : fmt::format("{} min {:02} s", s / 60, s % 60);
}

// On a terminal one live line per running cell below a line for the study; in a log a plain line per finished cell.
class TerminalProgress : public study::Progress {
 public:
  void study_started(const study::Grid& grid, const study::Estimate& estimate, int64_t to_run, int64_t done, int jobs) override {
    print_progress("{}: {} cells, {} done before, {} to run, {} side by side", grid.config().name, grid.cells().size(), done,
                   to_run, jobs);
    if (estimate.seconds > 0) print_progress(", about {}", minutes(estimate.seconds));
    print_progress("\n");
    lines_.assign(size_t(jobs), "");
  }

  void cell_started(int slot, const study::Cell& cell) override { line(slot, cell.label.str()); }

  void cell_training(int slot, const study::Cell& cell, const transfer::TrainProgress& p) override {
    line(slot, fmt::format("{}: epoch {}/{}, loss {:.3f}, training accuracy {:.3f}, {:.0f} images/s, {} left", cell.label.str(),
                           p.epoch, p.epochs, p.loss, p.accuracy, p.images_per_second, minutes(p.seconds_left)));
  }

  void cell_finished(int slot, const study::Cell& cell, const study::CellResult& r, int64_t done, int64_t of) override {
    clear();
    const std::string result = r.accuracy ? fmt::format("accuracy {:.4f}", *r.accuracy) : r.status;
    print_progress("[{}/{}] {}: {}, {:.1f} s\n", done, of, cell.label.str(), result, r.seconds);
    lines_[size_t(slot)].clear();
    draw();
  }

  void message(const std::string& text) override {
    clear();
    print_progress("{}\n", text);
    draw();
  }

  ~TerminalProgress() override { clear(); }

 private:
  void line(int slot, std::string text) {
    if (!terminal_) return;
    lines_[size_t(slot)] = std::move(text);
    if (Clock::now() - drawn_at_ < std::chrono::milliseconds(100)) return;
    clear();
    draw();
  }
  void clear() {
    if (drawn_) print_progress("\033[{}A\033[J", drawn_);
    drawn_ = 0;
  }
  void draw() {
    if (!terminal_) return;
    for (const auto& l : lines_)
      if (!l.empty()) {
        print_progress("  {:.118}\n", l);
        ++drawn_;
      }
    drawn_at_ = Clock::now();
  }

  const bool terminal_ = isatty(STDERR_FILENO);
  std::vector<std::string> lines_;
  int drawn_ = 0;
  Clock::time_point drawn_at_{};
};

nlohmann::ordered_json verdicts_json(const std::vector<study::Verdict>& verdicts) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& v : verdicts)
    list.push_back({{"criterion", v.criterion},
                    {"measured", v.measured},
                    {"needed", v.needed},
                    {"verdict", study::name(v.judgement)},
                    {"reason", v.reason},
                    {"value", v.value}});
  return list;
}

}  // namespace

int study(const StudyArguments& a) {
  study::StudyConfig config = study::load_config(a.config);
  study::RunOptions options;
  options.out = a.out.empty() ? std::filesystem::path("runs") / config.name : std::filesystem::path(a.out);
  if (a.seeds) options.seeds = a.seeds;
  options.device = device_of(a.device);
  options.jobs = a.jobs;
  if (!a.shard.empty()) options.shard = study::parse_shard(a.shard);
  options.no_cache = a.no_cache;
  options.commit = GRAFT_COMMIT;
  options.cancel = &interrupted;
  if (a.dry_run) {
    const auto dry = study::dry_run(std::move(config), options);
    if (a.json)
      print_result("{}\n", nlohmann::ordered_json{{"cells", dry.grid->cells().size()},
                                                  {"to_run", dry.estimate.to_run},
                                                  {"seconds", dry.estimate.seconds},
                                                  {"seconds_without_cache", dry.estimate.seconds_uncached},
                                                  {"saving", dry.estimate.saving()},
                                                  {"jobs", dry.estimate.jobs}}
                               .dump());
    else print_result("{}", study::to_text(*dry.grid, dry.estimate));
    return kDone;
  }
  study::RunSummary summary;
  {
    TerminalProgress progress;
    summary = study::run_study(std::move(config), options, progress);
  }
  const study::StudyResults results = study::load_results(options.out);
  const auto files = study::write_report(results, options.out);
  if (a.json)
    print_result("{}\n", nlohmann::ordered_json{{"out", options.out.string()},
                                                {"cells", summary.cells},
                                                {"run", summary.run},
                                                {"reused", summary.reused},
                                                {"diverged", summary.diverged},
                                                {"seconds", summary.seconds},
                                                {"report", files.html.string()},
                                                {"criteria", verdicts_json(results.verdicts)}}
                             .dump());
  else
    print_result("{}\n{} cells run, {} reused, {} diverged in {}. Report: {}\n",
                 study::terminal_report(results, isatty(STDOUT_FILENO)), summary.run, summary.reused, summary.diverged,
                 minutes(summary.seconds), files.html.string());
  return a.check && !study::all_passed(results.verdicts) ? kCriterionFailed : kDone;
}

int report(const ReportArguments& a) {
  const study::StudyResults results = study::load_results(a.folder);
  const auto files = study::write_report(results, a.folder);
  if (!a.csv.empty()) study::write_csv(results, a.csv);
  if (a.json)
    print_result("{}\n", nlohmann::ordered_json{{"report", files.html.string()},
                                                {"planned", results.planned},
                                                {"cells", results.rows.size()},
                                                {"criteria", verdicts_json(results.verdicts)}}
                             .dump());
  else print_result("{}\nReport: {}\n", study::terminal_report(results, isatty(STDOUT_FILENO)), files.html.string());
  return kDone;
}

int merge(const MergeArguments& a) {
  const std::vector<std::filesystem::path> from(a.folders.begin(), a.folders.end());
  const auto m = study::merge_stores(from, a.out);
  if (a.json)
    print_result("{}\n",
                 nlohmann::ordered_json{
                     {"out", a.out}, {"stores", m.stores}, {"added", m.added}, {"shared", m.shared}, {"missing", m.missing}}
                     .dump());
  else
    print_result("{} stores joined in {}: {} results, {} of them in more than one; {} cells of the grid have none yet\n", m.stores,
                 a.out, m.added + m.shared, m.shared, m.missing);
  return kDone;
}

}  // namespace graft::apps
