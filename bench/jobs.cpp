#include "bench/jobs.h"

#include <algorithm>

#include "bench/suites/suites.h"
#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"

namespace graft::bench {
namespace {

using harness::Case;
using harness::Tier;

std::vector<std::string> op_names() {
  std::vector<std::string> names{"all"};
  for (int i = 0; i < kOps; ++i) names.emplace_back(name(Op(i)));
  return names;
}

void check_name(const char* what, const std::string& wanted, const std::vector<std::string>& names) {
  check<ConfigError>(std::find(names.begin(), names.end(), wanted) != names.end(), "bench: no {} '{}': {}", what, wanted,
                     did_you_mean(wanted, names));
}

std::vector<Job> jobs_of_tiers(const std::string& suite, Tier first, Tier last) {
  std::vector<Job> jobs;
  for (const Case& c : harness::all_cases())
    if (c.tier >= first && c.tier <= last) jobs.push_back({c, suite, 1});
  return jobs;
}

// "resnet50" names both of its modes, "resnet50/infer" one.
std::vector<Job> jobs_of(const std::string& wanted, Backend backend, int64_t batch) {
  std::vector<std::string> names{"all", "basic", "tests"};
  std::vector<Job> jobs;
  const auto take = [&](std::vector<Job> more) { std::move(more.begin(), more.end(), std::back_inserter(jobs)); };
  if (wanted == "basic" || wanted == "all") take(jobs_of_tiers("basic", Tier::bench, Tier::bench));
  if (wanted == "tests") take(jobs_of_tiers("tests", Tier::smoke, Tier::ci));
  for (const Suite& s : suites())
    for (Mode mode : {Mode::train, Mode::infer}) {
      const std::string whole = std::string(s.name) + (mode == Mode::train ? "/train" : "/infer");
      if (wanted == "all" || wanted == s.name || wanted == whole) take(suite_jobs(s, mode, backend, batch));
      if (mode == Mode::train) names.emplace_back(s.name);
      names.push_back(whole);
    }
  check_name("suite", wanted, names);
  return jobs;
}

}  // namespace

std::vector<Job> select_jobs(const Options& o) {
  check_name("op", o.op, op_names());
  std::vector<std::string> pass_names(kPasses);
  for (int i = 0; i < kPasses; ++i) pass_names[size_t(i)] = name(Pass(i));
  if (!o.pass.empty()) check_name("pass", o.pass, pass_names);
  const std::string suite = !o.suite.empty() ? o.suite : o.verify_only ? "tests" : "basic";
  const bool exact = !o.shape.empty() && o.shape[0] == '=';
  std::vector<Job> jobs = jobs_of(suite, backend_named(o.device), o.batch);
  std::erase_if(jobs, [&](const Job& j) {
    const bool shape = exact ? j.c.name == o.shape.substr(1) : j.c.name.find(o.shape) != std::string::npos;
    return !((o.op == "all" || name(j.c.op) == o.op) && (o.pass.empty() || name(j.c.pass) == o.pass) && shape);
  });
  check<ConfigError>(!jobs.empty(), "bench: suite {} has no case of op {}{}{} (--list shows them)", suite, o.op,
                     o.pass.empty() ? "" : ", pass " + o.pass, o.shape.empty() ? "" : ", shape " + o.shape);
  std::stable_sort(jobs.begin(), jobs.end(),
                   [](const Job& a, const Job& b) { return std::pair(a.c.op, a.c.pass) < std::pair(b.c.op, b.c.pass); });
  return jobs;
}

std::string list_text(const std::vector<Job>& jobs) {
  std::string text = "suites: basic (the bench tier of the case files), tests (what the tests run)";
  for (const Suite& s : suites())
    text += fmt::format("\n  {:<13} {} (training: batch {} on cpu, {} on cuda; inference: {})", s.name, s.source, s.train_cpu,
                        s.train_cuda, s.infer);
  text += "\n\n";
  for (const Job& j : jobs)
    text += fmt::format("{:<18} {:<9} {:<18} {:>3}x  {}  ({:.3g} GFLOP, {:.3g} MB)\n", name(j.c.op), name(j.c.pass), j.suite,
                        j.times, j.c.name, j.c.cost.flops * 1e-9, j.c.cost.bytes * 1e-6);
  return text;
}

}  // namespace graft::bench
