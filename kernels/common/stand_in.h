#pragma once
#include <typeinfo>
#include <utility>
#include <vector>

#include "kernels/common/registry.h"

namespace graft {

// Tests: in its lifetime calls for one backend run the kernels of another. (Those of `emu` on a device that is only simulated.)
class StandIn {
 public:
  StandIn(Backend kernels, Backend for_backend);
  ~StandIn();
  StandIn(const StandIn&) = delete;

 private:
  Backend for_backend_;
  std::vector<std::pair<AnyKernel, const std::type_info*>> before_;
};

}  // namespace graft
