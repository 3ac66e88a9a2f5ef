// Finds data races, accesses out of bounds and misaligned ones, from what the hooks of instrumented kernels report.
//
// Two accesses of which one writes must be ordered. Within a block, barriers order: a full barrier all of its threads,
// a partial one (warp, named, mbarrier, cluster) those that take part, kept as vector clocks. Shuffles and votes order
// nothing. Between blocks, __threadfence by the writer, behind it an atomic, and the same atomic by the reader's block later do.
// Atomics do not race with each other. It follows from the program, not from the schedule: a race is found also where the
// result was right.
//
// The blocks of a cluster run together and share one set of clocks: thread t of rank r is r * block threads + t. What TMA
// and wgmma access is of an agent with a clock of its own: its operations are ordered before a thread only where that thread
// has waited for them. They use the async proxy: what threads have written by ordinary stores (the generic proxy) is theirs
// only behind a fence.proxy.async on the way from one to the other (PTX ISA, "Memory Consistency Model: Proxies").
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace graft::emu {

struct Access {
  const void* pc = nullptr;  // return address in the kernel
  uint32_t clock = 0;        // of the thread; 0: no access
  uint32_t cluster = 0;      // or block, where there are no clusters
  uint16_t thread = 0;       // of the cluster, or an agent
  uint8_t bytes = 0;         // of the four, as a mask
  bool atomic = false;
  bool updates = false;  // a write of what the same thread had read just before
  bool async = false;    // by TMA or wgmma
};

class MemoryCheck {
 public:
  // `agents` of each block come behind all threads of the cluster.
  void start_launch(int block_threads, int ranks, int agents);
  void start_cluster(uint32_t cluster);
  void end_launch();

  // Barriers. A participant joins its clock into `joined`, and when all have, takes it.
  using Clock = std::vector<uint32_t>;
  void full_barrier(int rank);
  void join(int thread, Clock& joined);
  void take(int thread, const Clock& joined);
  void fence(int thread);
  void proxy_fence(int thread);
  void atomic_order(int thread, const void* address);

  // Operations of agents. `known`: what all of these threads know, when they issue one.
  Clock known(int first_thread, int threads) const;
  int agent(int rank, int number) const { return threads_ + rank * agents_ + number; }
  bool is_agent(int thread) const { return thread >= threads_; }
  uint32_t next_operation(int agent) { return agents_used_ = true, ++clock_[size_t(agent)]; }
  void learn(int thread, int agent, uint32_t operation);  // it has waited for this one, and so for the agent's earlier ones
  void learn(Clock& joined, int agent, uint32_t operation) const;

  struct Conflict {
    bool found = false;
    bool earlier_wrote, later_writes;
    bool unfenced = false;  // ordered, but without fence.proxy.async
    Access earlier;
  };
  // Where: the rank whose shared memory it is and the offset there, or rank -1 and an address.
  struct Place {
    int rank;
    uintptr_t at;
  };
  Conflict record(Place, size_t bytes, bool write, bool atomic, int thread, const void* pc);
  Conflict record_async(Place, size_t bytes, bool write, int agent, const Clock& known, const void* pc);

 private:
  struct Cell {
    Access write, reads[2];
  };
  static constexpr size_t kCells = 1024;  // of 4 bytes each
  using Page = std::unique_ptr<Cell[]>;

  Conflict record(Place, size_t bytes, bool write, const Access& now, const Clock* known);
  Conflict record_cell(Cell&, uint8_t mask, bool write, const Access& now, const Clock* known);
  bool ordered(const Access& earlier, int thread, const Clock* known) const;
  int rank(int thread) const { return thread / block_threads_; }
  Cell& cell(int rank, uintptr_t index);

  int block_threads_ = 1, threads_ = 0, agents_ = 0, ranks_ = 1;
  uint32_t cluster_ = 0;
  bool agents_used_ = false;
  std::vector<uint32_t> clock_, barrier_clock_;  // now, and at the last full barrier of the block
  std::vector<uint32_t> proxy_fenced_;           // up to where fence.proxy.async has ordered a thread's writes
  std::vector<Clock> known_;                     // of other threads by partial barriers; empty: nothing
  struct Fence {
    uint32_t number, clock;
  };
  using Fences = std::unordered_map<uint32_t, uint32_t>;     // cluster -> number of the last fence
  uint32_t fences_ = 0;                                      // of the launch
  std::unordered_map<uint64_t, std::vector<Fence>> fenced_;  // cluster and thread -> up to which clock each fence publishes
  std::unordered_map<const void*, Fences> released_;         // atomic -> clusters that came to it, behind which fence
  Fences acquired_;                                          // clusters whose writes before that fence this one may read
  std::vector<std::vector<Cell>> shared_;                    // of each rank, as far as it is used
  std::unordered_map<uintptr_t, Page> pages_;
  uintptr_t last_page_ = 0;
  Cell* last_cells_ = nullptr;
};

}  // namespace graft::emu
