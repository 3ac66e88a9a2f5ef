// An mbarrier between mbarrier.cpp and the copies that arrive on it (tma.cpp).
#pragma once
#include <cstdint>
#include <functional>

#include "kernels/runtime/emu/executor.h"

namespace graft::emu {

// A copy of `bytes` will be counted on this mbarrier. deliver(): its data arrive, in the current phase; says as which operation
// of which agent. The mbarrier must be initialised and visible to the async proxy.
struct Delivery {
  int bytes;
  const void* pc;
  int thread;  // that issued it
  int agent;
  uint32_t operation;
  std::function<void()> deliver;
};
void mbarrier_expect_delivery(void* mbarrier, Delivery);

}  // namespace graft::emu
