#include "bench/baselines/baselines.h"

#include <utility>

namespace graft::bench {
namespace {

auto& makers() {
  static std::vector<std::pair<Backend, MakeBaseline>> m;
  return m;
}

}  // namespace

RegisterBaseline::RegisterBaseline(Backend backend, MakeBaseline make) { makers().emplace_back(backend, make); }

std::vector<Candidate> baselines(Device& device, const harness::Case& c, DType real) {
  std::vector<Candidate> all;
  for (auto [backend, make] : makers())
    if (backend == device.backend())
      for (Candidate& one : make(device, c, real)) all.push_back(std::move(one));
  return all;
}

}  // namespace graft::bench
