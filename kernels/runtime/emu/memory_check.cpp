#include "kernels/runtime/emu/memory_check.h"

#include <algorithm>
#include <limits>

namespace graft::emu {
namespace {

void raise(MemoryCheck::Clock& to, const MemoryCheck::Clock& from) {
  if (to.size() < from.size()) to.resize(from.size(), 0);
  for (size_t i = 0; i < from.size(); ++i) to[i] = std::max(to[i], from[i]);
}

}  // namespace

void MemoryCheck::start_launch(int block_threads, int ranks, int agents) {
  block_threads_ = block_threads, ranks_ = ranks, agents_ = agents;
  threads_ = block_threads * ranks;
  fences_ = 0;
  fenced_.clear();
  released_.clear();
  pages_.clear();
  last_cells_ = nullptr;
}

void MemoryCheck::start_cluster(uint32_t cluster) {
  cluster_ = cluster;
  const size_t n = size_t(threads_) + size_t(ranks_) * size_t(agents_);
  clock_.assign(n, 1);
  barrier_clock_.assign(n, 0);
  proxy_fenced_.assign(n, 0);
  known_.assign(size_t(threads_), {});
  acquired_.clear();
  agents_used_ = false;
  shared_.resize(size_t(ranks_));
  for (auto& cells : shared_) cells.clear();
}

void MemoryCheck::end_launch() { pages_.clear(), last_cells_ = nullptr; }

void MemoryCheck::full_barrier(int rank) {
  const int begin = rank * block_threads_, end = begin + block_threads_;
  for (int t = begin; t < end; ++t) barrier_clock_[size_t(t)] = clock_[size_t(t)]++;
  if (ranks_ == 1 && !agents_used_) return;
  Clock others;  // what one of them knows of other blocks and of agents, all know from now on
  for (int t = begin; t < end; ++t) raise(others, known_[size_t(t)]);
  for (int t = begin; t < end; ++t) known_[size_t(t)] = others;
}

void MemoryCheck::join(int thread, Clock& joined) {
  joined.resize(clock_.size(), 0);
  raise(joined, known_[size_t(thread)]);
  if (ranks_ > 1) {  // within a block all know of its barriers
    const int begin = rank(thread) * block_threads_;
    for (int t = begin; t < begin + block_threads_; ++t) joined[size_t(t)] = std::max(joined[size_t(t)], barrier_clock_[size_t(t)]);
  }
  joined[size_t(thread)] = clock_[size_t(thread)]++;
}

void MemoryCheck::take(int thread, const Clock& joined) { raise(known_[size_t(thread)], joined); }

void MemoryCheck::fence(int thread) {
  // What a barrier has ordered before this thread is published with its own writes (cumulativity of the fence).
  ++fences_;
  for (int t = 0; t < threads_; ++t) {
    const uint32_t upto = t == thread ? clock_[size_t(t)]++ : rank(t) == rank(thread) ? barrier_clock_[size_t(t)] : 0;
    auto& fenced = fenced_[uint64_t(cluster_) << 16 | uint64_t(t)];
    if (upto > (fenced.empty() ? 0 : fenced.back().clock)) fenced.push_back({fences_, upto});
  }
}

void MemoryCheck::proxy_fence(int thread) {
  Clock upto = known(thread, 1);
  upto[size_t(thread)] = clock_[size_t(thread)]++;  // what it writes from here on is not fenced
  raise(proxy_fenced_, upto);
}

void MemoryCheck::atomic_order(int, const void* address) {
  auto& clusters = released_[address];
  for (const auto& [cluster, number] : clusters) acquired_[cluster] = std::max(acquired_[cluster], number);
  clusters[cluster_] = fences_;
}

MemoryCheck::Clock MemoryCheck::known(int first, int n) const {
  Clock least(clock_.size(), std::numeric_limits<uint32_t>::max());
  for (int t = first; t < first + n; ++t) {
    const Clock& of = known_[size_t(t)];
    const size_t begin = size_t(rank(t)) * size_t(block_threads_), end = begin + size_t(block_threads_);
    const uint32_t own = least[size_t(t)];
    for (size_t i = 0; i < least.size(); ++i) {
      uint32_t v = of.empty() ? 0 : of[i];
      if (i >= begin && i < end) v = std::max(v, barrier_clock_[i]);
      least[i] = std::min(least[i], v);
    }
    least[size_t(t)] = own;
  }
  return least;
}

void MemoryCheck::learn(int thread, int agent, uint32_t operation) { learn(known_[size_t(thread)], agent, operation); }
void MemoryCheck::learn(Clock& joined, int agent, uint32_t operation) const {
  joined.resize(clock_.size(), 0);
  joined[size_t(agent)] = std::max(joined[size_t(agent)], operation);
}

bool MemoryCheck::ordered(const Access& earlier, int thread, const Clock* known) const {
  if (earlier.cluster != cluster_) {
    const auto acquired = acquired_.find(earlier.cluster);
    const auto fenced = fenced_.find(uint64_t(earlier.cluster) << 16 | earlier.thread);
    return acquired != acquired_.end() && fenced != fenced_.end() &&
           std::ranges::any_of(fenced->second, [&](Fence f) { return f.number <= acquired->second && earlier.clock <= f.clock; });
  }
  if (known) return earlier.clock <= (*known)[earlier.thread];
  if (earlier.thread == thread) return true;
  if (earlier.clock <= barrier_clock_[earlier.thread] && (ranks_ == 1 || rank(earlier.thread) == rank(thread))) return true;
  const Clock& k = known_[size_t(thread)];
  return !k.empty() && earlier.clock <= k[earlier.thread];
}

MemoryCheck::Cell& MemoryCheck::cell(int rank, uintptr_t index) {
  if (rank >= 0) {
    auto& cells = shared_[size_t(rank)];
    if (index >= cells.size()) cells.resize(std::max<size_t>(index + 1, cells.size() * 2));
    return cells[index];
  }
  const uintptr_t page = index / kCells;
  if (!last_cells_ || page != last_page_) {
    Page& p = pages_[page];
    if (!p) p = std::make_unique<Cell[]>(kCells);
    last_page_ = page;
    last_cells_ = p.get();
  }
  return last_cells_[index % kCells];
}

MemoryCheck::Conflict MemoryCheck::record_cell(Cell& c, uint8_t mask, bool write, const Access& access, const Clock* known) {
  Access now = access;
  now.bytes = mask;
  const auto conflicts = [&](const Access& a) {
    return a.clock && (a.bytes & mask) && !(a.atomic && now.atomic) && !ordered(a, now.thread, known);
  };
  if (conflicts(c.write)) return {true, true, write, false, c.write};
  if (now.async && c.write.clock && (c.write.bytes & mask) && !c.write.async && c.write.cluster == cluster_ &&
      c.write.clock > proxy_fenced_[c.write.thread])
    return {true, true, write, true, c.write};
  if (!write) {
    // One reader that may still be unordered with a later writer, and the latest other one.
    Access& first = c.reads[0];
    const bool keep =
        first.clock && !(first.thread == now.thread && first.cluster == now.cluster) && !ordered(first, now.thread, known);
    (keep ? c.reads[1] : first) = now;
    return {};
  }
  for (const Access& r : c.reads) {
    if (conflicts(r)) return {true, false, true, false, r};
    now.updates |= r.clock && r.thread == now.thread && r.cluster == now.cluster;
  }
  c.write = now;
  return {};
}

MemoryCheck::Conflict MemoryCheck::record(Place place, size_t bytes, bool write, const Access& now, const Clock* known) {
  for (size_t done = 0; done < bytes;) {
    const size_t first = (place.at + done) % 4, n = std::min(4 - first, bytes - done);
    const Conflict c = record_cell(cell(place.rank, (place.at + done) / 4), uint8_t(((1u << n) - 1) << first), write, now, known);
    if (c.found) return c;
    done += n;
  }
  return {};
}

MemoryCheck::Conflict MemoryCheck::record(Place place, size_t bytes, bool write, bool atomic, int thread, const void* pc) {
  Access now;
  now.pc = pc, now.clock = clock_[size_t(thread)], now.cluster = cluster_, now.thread = uint16_t(thread), now.atomic = atomic;
  return record(place, bytes, write, now, nullptr);
}
MemoryCheck::Conflict MemoryCheck::record_async(Place place, size_t bytes, bool write, int agent, const Clock& known,
                                                const void* pc) {
  Access now;
  now.pc = pc, now.clock = clock_[size_t(agent)], now.cluster = cluster_, now.thread = uint16_t(agent), now.async = true;
  return record(place, bytes, write, now, &known);
}

}  // namespace graft::emu
