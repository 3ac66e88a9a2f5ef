#include "kernels/runtime/emu/memory_check.h"

#include <algorithm>

namespace graft::emu {

void MemoryCheck::start_launch(uint64_t, int threads) {
  threads_ = threads;
  fenced_.clear();
  released_.clear();
  pages_.clear();
  last_cells_ = nullptr;
}

void MemoryCheck::start_block(uint32_t block, size_t shared_bytes) {
  block_ = block;
  clock_.assign(size_t(threads_), 1);
  barrier_clock_.assign(size_t(threads_), 0);
  known_.assign(size_t(threads_), {});
  acquired_.clear();
  shared_.assign((shared_bytes + 3) / 4, {});
}

void MemoryCheck::end_launch() { pages_.clear(), last_cells_ = nullptr; }

void MemoryCheck::full_barrier() {
  barrier_clock_ = clock_;
  for (uint32_t& c : clock_) ++c;
}

void MemoryCheck::join(int thread, Clock& joined) {
  joined.resize(size_t(threads_), 0);
  const Clock& known = known_[size_t(thread)];
  for (size_t i = 0; i < known.size(); ++i) joined[i] = std::max(joined[i], known[i]);
  joined[size_t(thread)] = clock_[size_t(thread)]++;
}

void MemoryCheck::take(int thread, const Clock& joined) {
  Clock& known = known_[size_t(thread)];
  known.resize(size_t(threads_), 0);
  for (size_t i = 0; i < known.size(); ++i) known[i] = std::max(known[i], joined[i]);
}

void MemoryCheck::fence(int thread) {
  // What a barrier has ordered before this thread is published with its own writes (cumulativity of the fence).
  for (int t = 0; t < threads_; ++t) {
    const uint32_t upto = t == thread ? clock_[size_t(t)] : barrier_clock_[size_t(t)];
    uint32_t& fenced = fenced_[uint64_t(block_) << 16 | uint64_t(t)];
    fenced = std::max(fenced, upto);
  }
}

void MemoryCheck::atomic_order(int, const void* address) {
  auto& blocks = released_[address];
  acquired_.insert(blocks.begin(), blocks.end());
  blocks.insert(block_);
}

bool MemoryCheck::ordered(const Access& earlier, int thread) const {
  if (earlier.block != block_) {
    if (!acquired_.count(earlier.block)) return false;
    const auto fenced = fenced_.find(uint64_t(earlier.block) << 16 | earlier.thread);
    return fenced != fenced_.end() && earlier.clock <= fenced->second;
  }
  if (earlier.thread == thread || earlier.clock <= barrier_clock_[earlier.thread]) return true;
  const Clock& known = known_[size_t(thread)];
  return !known.empty() && earlier.clock <= known[earlier.thread];
}

MemoryCheck::Cell& MemoryCheck::cell(bool shared, uintptr_t index) {
  if (shared) return shared_[index];
  const uintptr_t page = index / kCells;
  if (!last_cells_ || page != last_page_) {
    Page& p = pages_[page];
    if (!p) p = std::make_unique<Cell[]>(kCells);
    last_page_ = page;
    last_cells_ = p.get();
  }
  return last_cells_[index % kCells];
}

MemoryCheck::Conflict MemoryCheck::record_cell(Cell& c, uint8_t mask, bool write, const Access& access) {
  Access now = access;
  now.bytes = mask;
  const auto conflicts = [&](const Access& a) {
    return a.clock && (a.bytes & mask) && !(a.atomic && now.atomic) && !ordered(a, now.thread);
  };
  if (conflicts(c.write)) return {true, true, write, c.write};
  if (!write) {
    // One reader that may still be unordered with a later writer, and the latest other one.
    Access& first = c.reads[0];
    const bool keep = first.clock && !(first.thread == now.thread && first.block == now.block) && !ordered(first, now.thread);
    (keep ? c.reads[1] : first) = now;
    return {};
  }
  for (const Access& r : c.reads) {
    if (conflicts(r)) return {true, false, true, r};
    now.updates |= r.clock && r.thread == now.thread && r.block == now.block;
  }
  c.write = now;
  return {};
}

MemoryCheck::Conflict MemoryCheck::record(bool shared, uintptr_t at, size_t bytes, bool write, bool atomic, int thread,
                                          const void* pc) {
  Access now;
  now.pc = pc, now.clock = clock_[size_t(thread)], now.block = block_, now.thread = uint16_t(thread), now.atomic = atomic;
  for (size_t done = 0; done < bytes;) {
    const size_t first = (at + done) % 4, n = std::min(4 - first, bytes - done);
    const Conflict c = record_cell(cell(shared, (at + done) / 4), uint8_t(((1u << n) - 1) << first), write, now);
    if (c.found) return c;
    done += n;
  }
  return {};
}

}  // namespace graft::emu
