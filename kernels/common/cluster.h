// Clusters and mbarriers (sm_90): blocks that run together and reach each other's shared memory, and barriers in shared
// memory on which threads and asynchronous copies arrive. Inline PTX under nvcc, kernels/runtime/emu/hopper.h under g++.
//
//   launch_cluster(kernel, grid, cluster, block, bytes, context, args...)    launch() with at most 8 blocks a cluster
//   cluster_rank(), cluster_size()       of this block; ranks count along x, then y, then z
//   cluster_arrive(), cluster_wait()     a barrier in two halves: behind it, all threads of all blocks have arrived, and what
//                                        they wrote before is seen. Alternate; a block that exits must not be needed any more
//   cluster_sync()                       both halves
//   cluster_address(p, rank)             the same place of the shared memory of another block (mapa), to read and write
//
// An mbarrier is 8 bytes of shared memory, 8-byte aligned (PTX ISA, "Parallel Synchronization: mbarrier"). A phase ends when as
// many arrivals as init() asked for have come and its count of bytes (tx-count) is zero; then the next begins with the same
// number of arrivals. Phases have parities 0, 1, 0, ...
//
//   mbarrier_init(b, arrivals)           by one thread; then fence_mbarrier_init() and a barrier, before anybody uses it
//   mbarrier_arrive(b)                   releases what the thread did before
//   mbarrier_arrive_expect(b, bytes)     adds to the count what copies will bring, then arrives
//   mbarrier_arrive_remote(b, rank)      on the same mbarrier of another block, to say that something was read. What the thread
//                                        wrote is not released to that block (the executor orders it all the same): with
//                                        .release.cluster a MEMBAR of the whole GPU stands before each arrival, in SASS and in
//                                        the time of a product
//   mbarrier_wait(b, parity)             until the phase of this parity has ended: at once, where the current phase has the other
//                                        parity. So a thread that waits for parity 1 first goes through: nobody used the slot yet.
//                                        Nobody may fall two phases behind: parities would be confused
//   fence_async()                        fence.proxy.async: what was written to shared memory by ordinary stores before is seen
//                                        by TMA stores and wgmma after it. By the writer, before the barrier that others wait at
#pragma once
#include "kernels/common/ptx.h"

#if !defined(__CUDACC__)
#include "kernels/runtime/emu/hopper.h"
#else
#include "kernels/runtime/cuda/cluster.h"

namespace graft::cuda {

__device__ inline int cluster_rank() {
  int r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ inline int cluster_size() {
  int n;
  asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(n));
  return n;
}
__device__ inline void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ inline void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ inline void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}
template <class T>
__device__ T* cluster_address(T* p, int rank) {
  T* r;
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(r) : "l"(p), "r"(rank));
  return r;
}

__device__ inline void mbarrier_init(uint64_t* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
__device__ inline void fence_mbarrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ inline void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ inline void mbarrier_arrive(uint64_t* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
__device__ inline void mbarrier_arrive_expect(uint64_t* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}
__device__ inline void mbarrier_arrive_remote(uint64_t* b, int rank) {
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(shared_address(b)),
      "r"(rank)
      : "memory");
}
// try_wait suspends the thread for a time that the hardware chooses.
__device__ inline void mbarrier_wait(uint64_t* b, int parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}

}  // namespace graft::cuda
#endif
