// Finds data races, accesses out of bounds and misaligned ones, from what the hooks of instrumented kernels report.
//
// Two accesses of which one writes must be ordered. Within a block, barriers order: a full barrier all of its threads,
// a partial one (warp, named) those that take part, kept as vector clocks. Shuffles and votes order nothing. Between
// blocks, __threadfence by the writer and then an atomic that the reader's block comes to later do. Atomics do not race
// with each other. It follows from the program, not from the schedule: a race is found also where the result was right.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace graft::emu {

struct Access {
  const void* pc = nullptr;  // return address in the kernel
  uint32_t clock = 0;        // of the thread; 0: no access
  uint32_t block = 0;
  uint16_t thread = 0;
  uint8_t bytes = 0;  // of the four, as a mask
  bool atomic = false;
  bool updates = false;  // a write of what the same thread had read just before
};

class MemoryCheck {
 public:
  void start_launch(uint64_t blocks, int threads);
  void start_block(uint32_t block, size_t shared_used);
  void end_launch();

  // Barriers. A participant joins its clock into `joined`, and when all have, takes it.
  using Clock = std::vector<uint32_t>;
  void full_barrier();
  void join(int thread, Clock& joined);
  void take(int thread, const Clock& joined);
  void fence(int thread);
  void atomic_order(int thread, const void* address);

  // Returns what is wrong, or nullptr-like empty text. `shared`: offset in the block's shared memory, else an address.
  struct Conflict {
    bool found = false;
    bool earlier_wrote, later_writes;
    Access earlier;
  };
  Conflict record(bool shared, uintptr_t at, size_t bytes, bool write, bool atomic, int thread, const void* pc);

 private:
  struct Cell {
    Access write, reads[2];
  };
  static constexpr size_t kCells = 1024;  // of 4 bytes each
  using Page = std::unique_ptr<Cell[]>;

  Conflict record_cell(Cell&, uint8_t mask, bool write, const Access& now);
  bool ordered(const Access& earlier, int thread) const;
  Cell& cell(bool shared, uintptr_t index);

  int threads_ = 0;
  uint32_t block_ = 0;
  std::vector<uint32_t> clock_, barrier_clock_;                   // now, and at the last full barrier
  std::vector<Clock> known_;                                      // of other threads by partial barriers; empty: nothing
  std::unordered_map<uint64_t, uint32_t> fenced_;                 // block and thread -> clock at its last fence
  std::unordered_map<const void*, std::set<uint32_t>> released_;  // atomic -> blocks that came to it after a fence
  std::set<uint32_t> acquired_;                                   // blocks whose fenced writes this block may read
  std::vector<Cell> shared_;
  std::unordered_map<uintptr_t, Page> pages_;
  uintptr_t last_page_ = 0;
  Cell* last_cells_ = nullptr;
};

}  // namespace graft::emu
