// What the parts of the executor share: executor.cpp (threads and barriers), access.cpp (memory), mbarrier.cpp, tma.cpp,
// wgmma.cpp. Kernels do not see it.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/executor.h"
#include "kernels/runtime/emu/fiber.h"
#include "kernels/runtime/emu/memory_check.h"

namespace graft::emu {

constexpr size_t kStaticLimit = 48 << 10, kSharedLimit = 227 << 10;  // bytes a block may have: static; in all (sm_90)
// A block's arena: the window of shared memory with what lies around it, where an access is out of bounds. Dynamic shared
// memory starts 16 bytes into the window, because CUDA promises no more alignment than that.
constexpr size_t kArena = 1 << 20, kWindow = 384 << 10, kDynamicStart = 16;
constexpr int kMaxRanks = 16;  // blocks of a cluster

enum class State : uint8_t { ready, yielded, at_barrier, at_warp_op, at_warpgroup_op, polling, exited };

struct Thread {
  Fiber fiber;
  uint3 index;
  State state;
  Where where;  // of what it waits at
  int barrier_id;
  unsigned mask;  // of the warp operation
  uint64_t result;
  std::function<bool()> ready;        // of a polling thread: may it go on?
  std::function<std::string()> what;  // and what it waits for
};

// One rendezvous of lanes with the same mask.
struct WarpMeeting {
  unsigned mask = 0, arrived = 0;  // mask 0: free
  WarpOp op;
  uint64_t values[32];
  int sources[32];
  Finish finish;  // of an instruction: the values are pointers
  Where where;
  MemoryCheck::Clock joined;
};
struct WarpgroupMeeting {
  int arrived = 0;
  void* data[128];
  Finish finish;
  Where where;
};

struct Barrier {
  int expected = 0, arrived = 0, predicates = 0;
  std::vector<int> waiting;
  MemoryCheck::Clock joined;
};

struct Block {
  uint32_t index;  // in the grid
  int live;        // threads that have not exited
  Barrier barriers[16];
  std::vector<WarpMeeting> meetings;  // 32 a warp: as many as it can have disjoint masks
  std::vector<WarpgroupMeeting> warpgroups;
};

// 16 bytes of shared memory that an asynchronous operation will write, or still reads.
struct InFlight {
  const void* pc = nullptr;
  int thread = 0;
  bool written = false;
  uint16_t reads = 0;
};

// Agents of MemoryCheck, for each block: what is in flight for cp.async belongs to the thread itself.
enum Agent { kTmaLoads, kTmaStores, kWarpgroups, kAgents = kWarpgroups + 8 };

struct Executor {
  std::mutex mutex;
  const Launch* launch = nullptr;
  std::vector<Thread> threads = std::vector<Thread>(Fiber::kMaxFibers);  // of rank 0, of rank 1, ...
  int count = 0, ranks = 1, live = 0, current = -1;                      // threads of a block; blocks of a cluster
  uint32_t cluster = 0;
  uint64_t clusters_run = 0, draws = 0;
  std::vector<Block> blocks;
  std::vector<std::vector<InFlight>> in_flight;  // of each rank, 16 bytes of its window each
  std::vector<int> warp_order, lane_order;
  std::map<const void*, size_t> shared_objects;  // offsets in the window
  size_t shared_used = 0;                        // end of the static objects so far
  std::byte* arena = nullptr;
  std::optional<std::string> fault;
  MemoryCheck memory;
  bool observing = false;                  // kernel code is running: hooks report
  bool accumulators = false;               // wgmma is used: accesses of stacks matter too
  std::map<uintptr_t, uintptr_t> visible;  // begin -> end

  int rank_of(int thread) const { return thread / count; }
  int rank() const { return rank_of(current); }
  Block& block() { return blocks[size_t(rank())]; }
  Thread& self() { return threads[size_t(current)]; }
  std::byte* window(int rank) const { return arena + size_t(rank) * kArena + kWindow; }
  std::string at(int thread) const;
  std::string at_block(uint64_t block) const;
  std::string who(int thread) const;                               // block and thread
  std::string message(int thread, const std::string& what) const;  // of a fault
  // Ends the launch: no thread runs again.
  void fail(const std::string& what);
  void suspend() { self().fiber.suspend(); }
  // Suspends the current thread until ready(), which may let asynchronous work arrive.
  void wait_until(std::function<bool()> ready, std::function<std::string()> what, Where);
  static bool seeded();
  uint64_t draw(uint64_t below);
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (size_t i = seeded() ? v.size() : 0; i > 1; --i) std::swap(v[i - 1], v[draw(i)]);
  }

  // The rank whose window holds it and the offset there; rank -1: not shared memory.
  MemoryCheck::Place place_of(const void* address) const;
  InFlight& in_flight_at(MemoryCheck::Place);
  // Shared memory of an asynchronous operation, 16 bytes at a time: marked until its end.
  void check_access(const void* address, size_t bytes, bool write, bool atomic, int agent, const MemoryCheck::Clock* known,
                    const void* pc, const Where* where);

  void run_cluster();
  void run_thread(int);
  void exit_thread();
  bool poll();
  void report_deadlock();
  bool complete(WarpMeeting&, int first_thread);
  void complete(Block&, int id);
};
inline Executor& executor() {
  static Executor* const e = new Executor;
  return *e;
}

// While the executor works for a thread, accesses are its own.
struct Pause {
  Pause() { executor().observing = false; }
  ~Pause() { executor().observing = options().check_memory; }
};

// Called when a cluster starts, and when a thread exits (what it has left unfinished is a fault).
void reset_mbarriers();
void reset_tma();
void reset_wgmma();
void tma_exit();
void cluster_exit();
void wgmma_register_access(const void* address, bool write, const void* pc);  // of the thread's own stack
void check_delivered();                                                       // at the end of a cluster

}  // namespace graft::emu
