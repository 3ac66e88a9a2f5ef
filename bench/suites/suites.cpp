#include "bench/suites/suites.h"

#include <algorithm>
#include <map>

namespace graft::bench {
namespace {

std::vector<Suite>& storage() {
  static std::vector<Suite> all;
  return all;
}

}  // namespace

RegisterSuite::RegisterSuite(Suite s) { storage().push_back(s); }

std::vector<Suite> suites() {
  std::vector<Suite> all = storage();
  std::sort(all.begin(), all.end(), [](const Suite& a, const Suite& b) { return a.name < b.name; });
  return all;
}

std::vector<Job> suite_jobs(const Suite& suite, Mode mode, Backend backend, int64_t batch) {
  if (!batch) batch = mode == Mode::infer ? suite.infer : backend == Backend::cuda ? suite.train_cuda : suite.train_cpu;
  std::vector<Job> jobs;
  std::map<std::tuple<Op, Pass, std::string>, size_t> seen;
  for (harness::Case& c : harness::collect([&] { suite.add(mode, batch); })) {
    if (c.tier != harness::Tier::bench || (mode == Mode::infer && c.pass != Pass::forward)) continue;
    if (jobs.size() == 1 && c.op == Op::conv2d && c.pass == Pass::dgrad) continue;  // of the images, which no step computes
    const auto [found, fresh] = seen.try_emplace({c.op, c.pass, c.name}, jobs.size());
    if (fresh) jobs.push_back({std::move(c), std::string(suite.name) + (mode == Mode::train ? "/train" : "/infer"), 1});
    else ++jobs[found->second].times;
  }
  return jobs;
}

}  // namespace graft::bench
