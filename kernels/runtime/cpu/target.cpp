#include "kernels/runtime/cpu/target.h"

#include <cstdlib>

#include "hwy/highway.h"
#include "kernels/common/error.h"

namespace graft::cpu {
namespace {

// Before any kernel has chosen its target (Highway chooses at the first call and keeps it).
const bool applied = [] {
  const char* want = std::getenv("GRAFT_TARGET");
  if (!want) return true;
  for (int64_t targets = hwy::SupportedTargets(); targets; targets &= targets - 1)
    if (const int64_t t = targets & -targets; std::string_view(hwy::TargetName(t)) == want) {
      hwy::SetSupportedTargetsForTest(t);
      return true;
    }
  return false;
}();

}  // namespace

std::string_view target() {
  check<ConfigError>(applied, "GRAFT_TARGET: this machine or build does not have {}", std::getenv("GRAFT_TARGET"));
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);  // lower bits are better targets
}

}  // namespace graft::cpu
