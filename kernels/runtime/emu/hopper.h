// The instructions of kernels/common/cluster.h, tma.h and wgmma.h on the host: mbarrier.cpp, tma.cpp, wgmma.cpp.
//
// What is asynchronous arrives at the latest moment that PTX allows: a TMA load when somebody waits for its mbarrier and all
// arrivals have come, a TMA store and the sums of a wgmma at the wait. Until then destinations are NaN and belong to nobody,
// sources may not change. Misuse is a fault with the lines of both sides.
#pragma once
#include <cstdint>

#include "kernels/runtime/emu/executor.h"

namespace graft::emu {

int cluster_rank();
int cluster_size();
void cluster_arrive(Where = Where::current());
void cluster_wait(Where = Where::current());
inline void cluster_sync(Where w = Where::current()) { cluster_arrive(w), cluster_wait(w); }
void* in_block(const void* shared, int rank, Where);
template <class T>
T* cluster_address(T* p, int rank, Where w = Where::current()) {
  return static_cast<T*>(in_block(p, rank, w));
}

void mbarrier_init(uint64_t*, int arrivals, Where = Where::current());
void fence_mbarrier_init();
void fence_async();
void mbarrier_arrive(uint64_t*, Where = Where::current());
void mbarrier_arrive_expect(uint64_t*, int bytes, Where = Where::current());
void mbarrier_arrive_remote(uint64_t*, int rank, Where = Where::current());
void mbarrier_wait(uint64_t*, int parity, Where = Where::current());

}  // namespace graft::emu
