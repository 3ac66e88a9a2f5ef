#include <doctest/doctest.h>

#include <csignal>
#include <fstream>
#include <sys/wait.h>
#include <thread>

#include "study_fixture.h"
#include "transfer/study/merge.h"

using namespace graft;
using namespace graft::study;

namespace {

StudyConfig tiny() { return parse_config(kTinyStudy, "tiny.toml"); }

// The undisturbed run that all others are compared with.
const std::string& undisturbed() {
  static const std::string text = [] {
    TempFolder f;
    Progress quiet;
    run_study(tiny(), tiny_options(f.path), quiet);
    return numbers(f.path);
  }();
  return text;
}

// Runs the study in a process that SIGKILL ends at the nth step of this name, or ("") of any name, counted over the whole
// run; false when the run was over before. Nothing of the parent's state may be used by threads there: the child starts
// its own.
bool killed_at(const std::filesystem::path& out, std::string_view name, int nth) {
  const pid_t child = fork();
  if (child == 0) {
    RunOptions options = tiny_options(out);
    int count = 0;
    options.on_step = [&](std::string_view step) {
      if ((name.empty() || step == name) && ++count == nth) std::raise(SIGKILL);
    };
    Progress quiet;
    try {
      run_study(tiny(), options, quiet);
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
  return WIFSIGNALED(status);
}

struct Counting : Progress {
  int64_t started = 0, finished = 0, training = 0;
  std::vector<std::string> messages;
  void cell_started(int, const Cell&) override { ++started; }
  void cell_training(int, const Cell&, const transfer::TrainProgress&) override { ++training; }
  void cell_finished(int, const Cell&, const CellResult&, int64_t, int64_t) override { ++finished; }
  void message(const std::string& m) override { messages.push_back(m); }
};

}  // namespace

TEST_CASE("study run: every cell has a result, a frozen cell a proof, and results are rebuilt from the store") {
  TempFolder f;
  Counting progress;
  const RunSummary s = run_study(tiny(), tiny_options(f.path), progress);
  const StudyResults r = load_results(f.path);
  CHECK(r.rows.size() == size_t(s.cells));
  CHECK(r.planned == s.cells);
  CHECK(s.run == progress.finished);
  CHECK(s.run < s.cells);  // shared results
  CHECK(r.config.name == "tiny");
  CHECK(r.blocks == std::vector<std::string>{"fc1", "fc2", "fc3"});
  CHECK(r.verdicts.at(0).judgement == Judgement::pass);
  CHECK_FALSE(r.quantities.empty());
  for (const Row& row : r.rows) {
    CHECK(row.result.status == "done");
    CHECK(*row.result.accuracy >= 0);
    CHECK(row.result.epochs == (row.label.condition == Condition::base2x ? 4 : 2));
    CHECK(row.result.items > 0);
    CHECK(row.result.weights_hash.size() == 16);
    CHECK(row.result.prefix_blocks == (is_frozen(row.label.condition) ? row.label.cut : 0));
    CHECK(row.identity.find("kernels = ") != std::string::npos);
  }
  CHECK(numbers(f.path) == undisturbed());

  Counting again;
  const RunSummary second = run_study(tiny(), tiny_options(f.path), again);
  CHECK(second.run == 0);
  CHECK(again.started == 0);
  CHECK(numbers(f.path) == undisturbed());
}

// numbers() holds the CSV without times and the hash of the final weights of every cell.
TEST_CASE("study run: jobs, the cache and its memory change no number") {
  for (int variant = 0; variant < 4; ++variant) {
    CAPTURE(variant);
    TempFolder f;
    RunOptions options = tiny_options(f.path);
    if (variant == 0) options.jobs = 2;
    if (variant == 1) options.no_cache = true;
    if (variant == 2) options.jobs = 3, options.cache_memory = 1000;  // spills
    if (variant == 3) options.calibration_steps = 2;
    Progress quiet;
    run_study(tiny(), options, quiet);
    CHECK(numbers(f.path) == undisturbed());
  }
}

TEST_CASE("study run: the streams are what they are said to be") {
  const StudyConfig c = tiny();
  CellLabel label;
  label.half = "A";
  const Shape input{6, 6, 1};
  const auto base = make_network(c, label, input, 3, nullptr);
  const auto bytes = [](const nn::Chain& n, int block) {
    return n.block(block).named_parameters().front().second.to_vector<float>();
  };
  std::vector<std::unique_ptr<nn::Chain>> grafted;
  for (Condition condition : {Condition::BnB, Condition::AnBplus, Condition::RnB}) {
    label.condition = condition;
    label.cut = 1;
    grafted.push_back(make_network(c, label, input, 3, has_source(condition) ? base.get() : nullptr));
  }
  CHECK(bytes(*grafted[0], 0) == bytes(*base, 0));
  CHECK(bytes(*grafted[2], 0) != bytes(*base, 0));
  for (int block : {1, 2}) {
    CHECK(bytes(*grafted[0], block) == bytes(*grafted[1], block));
    CHECK(bytes(*grafted[0], block) == bytes(*grafted[2], block));
    CHECK(bytes(*grafted[0], block) != bytes(*base, block));
  }
  CHECK(grafted[0]->block(0).frozen());
  CHECK_FALSE(grafted[1]->block(0).frozen());
  CHECK(grafted[2]->block(0).frozen());
  CHECK_FALSE(grafted[2]->block(1).frozen());
}

TEST_CASE("study run: killed at each step of a commit, of the first and of later ones, and resumed, the numbers are the same") {
  TempFolder f;
  for (const auto& [nth, steps] : {std::pair{1, 5}, std::pair{2, 5}, std::pair{4, 4}})
    for (int i = 0; i < steps; ++i) {
      // The network is saved before the commit of a cell that others take from; there are few of those.
      constexpr const char* kSteps[] = {"begin", "insert", "inserted", "committed", "network"};
      INFO(kSteps[i], " ", nth);
      CHECK(killed_at(f.path, kSteps[i], nth));
    }
  for (int nth : {7, 12, 23, 31}) CHECK(killed_at(f.path, "", nth));
  CHECK_FALSE(killed_at(f.path, "", 1 << 30));
  CHECK(numbers(f.path) == undisturbed());
}

// At least five kills at random moments that lie between the first and the last commit of a study: there are results
// before, and results missing after.
TEST_CASE("study run: killed at random moments of two jobs, and resumed each time, it ends with the same numbers") {
  const Philox moments{99, 0};
  uint64_t draw = 0;
  int kills = 0;
  while (kills < 6 && draw < 60) {
    TempFolder f;
    for (bool over = false; !over && draw < 60;) {
      int commits[2];
      REQUIRE(pipe(commits) == 0);
      const pid_t child = fork();
      if (child == 0) {
        RunOptions options = tiny_options(f.path);
        options.jobs = 2;
        options.on_step = [&](std::string_view step) {
          if (step == "committed" && write(commits[1], "c", 1) != 1) _exit(2);
        };
        Progress quiet;
        try {
          run_study(tiny(), options, quiet);
        } catch (...) {
          _exit(1);
        }
        _exit(0);
      }
      close(commits[1]);
      char c;
      const bool began = read(commits[0], &c, 1) == 1;  // the end of the pipe when nothing was left to do
      if (began) std::this_thread::sleep_for(std::chrono::microseconds(moments.below(draw++, 25000)));
      kill(child, SIGKILL);
      int status = 0;
      waitpid(child, &status, 0);
      close(commits[0]);
      CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
      const StudyResults r = load_results(f.path);
      over = int64_t(r.rows.size()) == r.planned;
      kills += began && !over && !r.rows.empty();
    }
    Progress quiet;
    run_study(tiny(), tiny_options(f.path), quiet);
    CHECK(numbers(f.path) == undisturbed());
  }
  CHECK(kills >= 5);
}

// Batch norm, shortcuts, and cuts between the blocks of a ResNet: CSV without times and the hashes of the final weights.
TEST_CASE("study run: the cache changes no number of a network with batch norm") {
  std::string text = kTinyStudy;
  const auto put = [&](const std::string& old, const std::string& now) { text.replace(text.find(old), old.size(), now); };
  put("name = \"mlp\"", "name = \"resnet20\"");
  put("epochs = 2", "epochs = 2\nmomentum = 0.9");
  put("\"base\", \"base2x\", \"BnB\", \"BnB+\", \"AnB\", \"AnB+\", \"RnB\"]",
      "\"base\", \"BnB\", \"AnB\", \"RnB\"]\ncuts = [1, 4, 9]");
  put("seeds = 2", "seeds = 1");
  put("target_images_per_class = [5]", "");
  put("cuts = [2]", "cuts = [4]");
  std::string expected;
  for (bool no_cache : {true, false}) {
    TempFolder f;
    RunOptions options = tiny_options(f.path);
    options.no_cache = no_cache;
    Progress quiet;
    run_study(parse_config(text, "x.toml"), options, quiet);
    int64_t cached = 0;
    for (const Row& row : load_results(f.path).rows) {
      CHECK(row.result.status == "done");
      cached += row.result.prefix_blocks > 0;
    }
    CHECK((cached == 0) == no_cache);
    if (no_cache) expected = numbers(f.path);
    else CHECK(numbers(f.path) == expected);
  }
}

TEST_CASE("study run: an interrupted run says how far it came and goes on from there") {
  TempFolder f;
  std::atomic<bool> cancel{false};
  struct After : Counting {
    std::atomic<bool>* flag;
    void cell_finished(int, const Cell&, const CellResult&, int64_t done, int64_t) override {
      if (done == 5) *flag = true;
    }
  } progress;
  progress.flag = &cancel;
  RunOptions options = tiny_options(f.path);
  options.jobs = 2;
  options.cancel = &cancel;
  CHECK_THROWS_AS(run_study(tiny(), options, progress), Interrupted);
  CHECK(load_results(f.path).rows.size() >= 5);
  cancel = false;
  Progress quiet;
  run_study(tiny(), options, quiet);
  CHECK(numbers(f.path) == undisturbed());
}

TEST_CASE("study run: a shared network that is lost or damaged is trained again, to the same bits") {
  TempFolder f;
  Progress quiet;
  run_study(tiny(), tiny_options(f.path), quiet);
  int64_t damaged = 0;
  for (const auto& file : std::filesystem::directory_iterator(f.path / "networks")) {
    if (damaged == 0) std::filesystem::remove(file.path());
    else std::ofstream(file.path(), std::ios::binary | std::ios::in).seekp(-3, std::ios::end) << "xyz";
    if (++damaged == 2) break;
  }
  Counting progress;
  const RunSummary s = run_study(tiny(), tiny_options(f.path), progress);
  CHECK(s.run == 2);
  CHECK(progress.messages.size() == 2);
  CHECK(numbers(f.path) == undisturbed());
}

TEST_CASE("study run: a diverged cell is a result, also for those that take from it") {
  std::string text = kTinyStudy;
  text.replace(text.find("lr = 0.05"), 9, "lr = 1e3\nschedule = \"constant\"");
  TempFolder f;
  Progress quiet;
  const RunSummary s = run_study(parse_config(text, "x.toml"), tiny_options(f.path), quiet);
  const StudyResults r = load_results(f.path);
  CHECK(s.diverged > 0);
  int64_t of_source = 0;
  for (const Row& row : r.rows) {
    CHECK(row.result.accuracy.has_value() == (row.result.status == "done"));
    of_source += row.result.status == "source diverged";
  }
  CHECK(of_source > 0);
  CHECK(r.verdicts.at(0).judgement == Judgement::not_judged);
}

TEST_CASE("study run: a grown grid runs the new cells only") {
  std::string small = kTinyStudy;
  small.replace(small.find("seeds = 2"), 9, "seeds = 1");
  TempFolder f;
  Progress quiet;
  const RunSummary first = run_study(parse_config(small, "x.toml"), tiny_options(f.path), quiet);
  const RunSummary second = run_study(tiny(), tiny_options(f.path), quiet);
  CHECK(second.reused == first.run);
  CHECK(second.run == first.run);
  CHECK(numbers(f.path) == undisturbed());
}

TEST_CASE("study merge: two shards joined are the whole study") {
  TempFolder f;
  Progress quiet;
  std::vector<std::filesystem::path> shards;
  for (int64_t i : {1, 2}) {
    RunOptions options = tiny_options(f.path / std::to_string(i));
    options.shard = {i, 2};
    run_study(tiny(), options, quiet);
    shards.push_back(options.out);
    CHECK(load_results(options.out).rows.size() < size_t(load_results(options.out).planned));
  }
  const MergeSummary s = merge_stores(shards, f.path / "all");
  CHECK(s.stores == 2);
  CHECK(s.missing == 0);
  CHECK(numbers(f.path / "all") == undisturbed());
  const RunSummary nothing = run_study(tiny(), tiny_options(f.path / "all"), quiet);
  CHECK(nothing.run == 0);
  CHECK(merge_stores(shards, f.path / "all").added == 0);
}

TEST_CASE("study merge: mixtures are refused, and nothing is written") {
  TempFolder f;
  Progress quiet;
  RunOptions one = tiny_options(f.path / "1");
  one.shard = {1, 8};
  run_study(tiny(), one, quiet);
  const auto refused = [&](const std::filesystem::path& other) {
    const std::vector<std::filesystem::path> both = {one.out, other};
    std::string what = "no error";
    try {
      merge_stores(both, f.path / "all");
    } catch (const ConfigError& e) {
      what = e.what();
    }
    CHECK_FALSE(std::filesystem::exists(f.path / "all"));
    return what;
  };
  std::string text = kTinyStudy;
  text.replace(text.find("epochs = 2"), 10, "epochs = 1");
  RunOptions two = tiny_options(f.path / "2");
  two.shard = {1, 8};
  run_study(parse_config(text, "x.toml"), two, quiet);
  CHECK(refused(two.out).find("have different cells") != std::string::npos);

  std::filesystem::copy(one.out, f.path / "3", std::filesystem::copy_options::recursive);
  { Store(f.path / "3", Store::Mode::write).set_meta({{"target", "Z80"}}); }
  CHECK(refused(f.path / "3").find("different instruction-set targets") != std::string::npos);

  std::filesystem::copy(one.out, f.path / "4", std::filesystem::copy_options::recursive);
  {
    Store store(f.path / "4", Store::Mode::write);
    Row row = store.rows().front();
    row.result.weights_hash = "0000000000000000";
    store.commit(row);
  }
  CHECK(refused(f.path / "4").find("have different numbers for") != std::string::npos);
}

TEST_CASE("study estimate: the prefix cache saves, shared cells cost nothing, shards cost less") {
  RunOptions options = tiny_options("unused");
  const DryRun d = dry_run(tiny(), options);
  CHECK_FALSE(std::filesystem::exists("unused"));
  double cached = 0, uncached = 0;
  int64_t free = 0;
  for (const CellCost& c : d.estimate.cells) {
    CHECK(c.multiply_adds <= c.multiply_adds_uncached);
    cached += c.multiply_adds;
    uncached += c.multiply_adds_uncached;
    free += c.multiply_adds == 0;
  }
  CHECK(cached < uncached);
  CHECK(free == int64_t(d.grid->cells().size() - d.grid->unique().size()));
  CHECK(d.estimate.to_run == int64_t(d.grid->unique().size()));
  options.shard = {1, 4};
  CHECK(dry_run(tiny(), options).estimate.to_run < d.estimate.to_run);
  options.calibration_steps = 2;
  const DryRun timed = dry_run(tiny(), options);
  CHECK(timed.estimate.seconds > 0);
  CHECK(to_text(*timed.grid, timed.estimate).find("networks to train with") != std::string::npos);
}

TEST_CASE("study shard: text") {
  CHECK(parse_shard("2/3").index == 2);
  CHECK(parse_shard("2/3").count == 3);
  for (const char* bad : {"0/3", "4/3", "1", "1/", "/2", "a/b", "1/2x"}) CHECK_THROWS_AS(parse_shard(bad), ConfigError);
}
