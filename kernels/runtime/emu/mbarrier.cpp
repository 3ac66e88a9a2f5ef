// mbarriers and cluster barriers. An mbarrier's state stands in a table beside; its 8 bytes hold a mark, so that a kernel that
// writes over them is found.
#include "kernels/runtime/emu/mbarrier.h"

#include <fmt/core.h>

#include <cstring>
#include <unordered_map>
#include <utility>

#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/executor_state.h"
#include "kernels/runtime/emu/hopper.h"
#include "kernels/runtime/emu/location.h"

namespace graft::emu {
namespace {

constexpr int kMaxArrivals = (1 << 20) - 1;  // of a phase, and bytes

struct Mbarrier {
  int arrivals = 0, pending = 0, tx = 0, parity = 0;
  int init_thread = 0;
  bool fenced = false;  // its init is visible to the cluster and to the async proxy
  Where where;          // of the init
  std::vector<Delivery> deliveries;
  MemoryCheck::Clock joined, completed;  // of this phase so far, of the last one
};
std::unordered_map<const void*, Mbarrier> barriers;

struct ClusterBarrier {
  int arrived = 0;                 // threads that have not exited
  uint64_t phase = 0;              // ended so far
  std::vector<uint64_t> phase_of;  // thread -> how many of its arrivals there were
  MemoryCheck::Clock joined, completed;

  void advance() {
    if (arrived == 0 || arrived < executor().live) return;
    arrived = 0, ++phase;
    completed = std::exchange(joined, {});
  }
} cluster;

uint64_t mark(const void* b) { return 0x6d62617272696572u ^ reinterpret_cast<uintptr_t>(b); }
std::string name(const Mbarrier& b) { return fmt::format("the mbarrier of {} arrivals made at {}", b.arrivals, place(b.where)); }

Mbarrier& find(const void* p, const char* use, const Where& where) {
  const auto found = barriers.find(p);
  uint64_t bits = 0;
  if (found != barriers.end()) std::memcpy(&bits, p, 8);
  if (bits != mark(p))
    executor().fail(found == barriers.end()
                        ? fmt::format("{} at {}: it was not initialised", use, place(where))
                        : fmt::format("{} at {}: something was written over {}", use, place(where), name(found->second)));
  return found->second;
}

// A phase ends as late as it may: its copies arrive when all threads have, and somebody waits (`waited`) or none is missing.
void advance(const void* p, Mbarrier& b, bool waited) {
  Executor& e = executor();
  if (b.pending > 0) return;
  int bytes = 0;
  for (const Delivery& d : b.deliveries) bytes += d.bytes;
  if (bytes > b.tx) {
    e.fault =
        e.message(e.current, fmt::format("{}: copies bring {} bytes to a phase that expects {} (the last one was issued at {})",
                                         name(b), bytes, b.tx, place(b.deliveries.back().pc)));
    return;
  }
  if (bytes < b.tx || (bytes && !waited)) return;
  for (const Delivery& d : b.deliveries) {
    d.deliver();
    if (options().check_memory) e.memory.learn(b.joined, d.agent, d.operation);
  }
  b.deliveries.clear();
  b.tx = 0, b.pending = b.arrivals, b.parity ^= 1;
  b.completed = std::exchange(b.joined, {});
  if (uint64_t bits; std::memcpy(&bits, p, 8), bits != mark(p))
    e.fault = e.message(e.current, fmt::format("a copy has written over {}", name(b)));
}

void arrive(void* p, int bytes, const char* use, const Where& where) {
  Executor& e = executor();
  Mbarrier& b = find(p, use, where);
  if (b.tx + bytes > kMaxArrivals)
    e.fail(fmt::format("{} at {}: {} bytes in a phase: at most {}", use, place(where), b.tx + bytes, kMaxArrivals));
  if (b.pending == 0) advance(p, b, true);  // its copies may have arrived without a wait
  if (b.pending == 0 && !e.fault)
    e.fail(fmt::format("{} at {}: one arrival too many: {} has had them all and waits for {} bytes", use, place(where), name(b),
                       b.tx));
  if (e.fault) e.suspend();
  b.tx += bytes;
  --b.pending;
  if (options().check_memory) e.memory.join(e.current, b.joined);
  advance(p, b, false);
  if (e.fault) e.suspend();
}

}  // namespace

void reset_mbarriers() {
  barriers.clear();
  cluster = {};
  cluster.phase_of.assign(size_t(executor().count) * size_t(executor().ranks), 0);
}

void mbarrier_init(uint64_t* p, int arrivals, Where where) {
  access(p, 8, true, false, nullptr, &where);
  Pause pause;
  Executor& e = executor();
  if (reinterpret_cast<uintptr_t>(p) % 8)
    e.fail(fmt::format("misaligned mbarrier: {} is no multiple of 8, at {}", static_cast<void*>(p), place(where)));
  if (e.place_of(p).rank != e.rank()) e.fail(fmt::format("mbarrier.init at {}: expected shared memory of the block", place(where)));
  if (arrivals < 1 || arrivals > kMaxArrivals)
    e.fail(fmt::format("mbarrier.init at {}: expected 1 to {} arrivals, got {}", place(where), kMaxArrivals, arrivals));
  if (const auto old = barriers.find(p); old != barriers.end())
    e.fail(fmt::format("mbarrier.init at {}: it is {} already", place(where), name(old->second)));
  Mbarrier& b = barriers[p];
  b.arrivals = b.pending = arrivals;
  b.init_thread = e.current;
  b.where = where;
  const uint64_t bits = mark(p);
  std::memcpy(p, &bits, 8);
}

void fence_mbarrier_init() {
  for (auto& [p, b] : barriers) b.fenced |= b.init_thread == executor().current;
}
void fence_async() {
  Pause pause;
  fence_mbarrier_init();
  if (options().check_memory) executor().memory.proxy_fence(executor().current);
}

// An arrival and a wait use the barrier atomically: ordered only against its init.
void mbarrier_arrive(uint64_t* p, Where where) { mbarrier_arrive_expect(p, 0, where); }
void mbarrier_arrive_expect(uint64_t* p, int bytes, Where where) {
  access(p, 8, false, true, nullptr, &where);
  Pause pause;
  arrive(p, bytes, bytes ? "mbarrier.arrive.expect_tx" : "mbarrier.arrive", where);
}
void mbarrier_arrive_remote(uint64_t* p, int rank, Where where) {
  void* const remote = in_block(p, rank, where);
  access(remote, 8, false, true, nullptr, &where);
  Pause pause;
  arrive(remote, 0, "mbarrier.arrive (remote)", where);
}

void mbarrier_wait(uint64_t* p, int parity, Where where) {
  access(p, 8, false, true, nullptr, &where);
  Pause pause;
  Executor& e = executor();
  if (e.place_of(p).rank != e.rank())
    e.fail(fmt::format("mbarrier.try_wait at {}: expected a barrier of the own block", place(where)));
  if (parity != 0 && parity != 1)
    e.fail(fmt::format("mbarrier.try_wait at {}: expected parity 0 or 1, got {}", place(where), parity));
  find(p, "mbarrier.try_wait", where);
  const auto ended = [&e, p, parity] {
    Mbarrier& b = barriers[p];
    if (b.parity == parity) advance(p, b, true);
    return !e.fault && b.parity != parity;
  };
  if (!ended()) {
    if (e.fault) e.suspend();
    e.wait_until(
        ended,
        [p, parity] {
          const Mbarrier& b = barriers[p];
          int bytes = 0;
          for (const Delivery& d : b.deliveries) bytes += d.bytes;
          return fmt::format("for parity {} of {} ({} arrivals missing, {} of {} bytes under way)", parity, name(b), b.pending,
                             bytes, b.tx);
        },
        where);
  }
  if (options().check_memory) e.memory.take(e.current, barriers[p].completed);
}

void mbarrier_expect_delivery(void* p, Delivery d) {
  Executor& e = executor();
  const auto found = barriers.find(p);
  if (found == barriers.end()) e.fail(fmt::format("the copy at {} completes on no mbarrier: it was not initialised", place(d.pc)));
  if (!found->second.fenced)
    e.fail(fmt::format("the copy at {} completes on {}, whose thread has called no fence_mbarrier_init() since", place(d.pc),
                       name(found->second)));
  found->second.deliveries.push_back(std::move(d));
}

void check_delivered() {
  Executor& e = executor();
  for (const auto& [p, b] : barriers)
    for (const Delivery& d : b.deliveries)
      e.fault = e.message(d.thread, fmt::format("the cluster ends while the TMA load at {} is in flight: nobody has waited for {}",
                                                place(d.pc), name(b)));
}

uint32_t shared_address(const void* p) { return uint32_t(executor().place_of(p).at); }

int cluster_rank() { return executor().rank(); }
int cluster_size() { return executor().ranks; }

void* in_block(const void* p, int rank, Where where) {
  Pause pause;
  Executor& e = executor();
  const auto at = e.place_of(p);
  if (at.rank < 0 || at.at >= kDynamicStart + kSharedLimit)
    e.fail(fmt::format("mapa at {}: expected an address of shared memory", place(where)));
  if (rank < 0 || rank >= e.ranks) e.fail(fmt::format("mapa at {}: expected a rank below {}, got {}", place(where), e.ranks, rank));
  return e.window(rank) + at.at;
}

void cluster_arrive(Where where) {
  Pause pause;
  Executor& e = executor();
  uint64_t& mine = cluster.phase_of[size_t(e.current)];
  if (mine > cluster.phase)
    e.fail(fmt::format("barrier.cluster.arrive at {}: the thread has not waited since it arrived before", place(where)));
  mine = cluster.phase + 1;
  if (options().check_memory) e.memory.join(e.current, cluster.joined);
  ++cluster.arrived;
  cluster.advance();
}
void cluster_exit() {
  if (cluster.phase_of[size_t(executor().current)] > cluster.phase) --cluster.arrived;
  cluster.advance();
}

void cluster_wait(Where where) {
  Pause pause;
  Executor& e = executor();
  const uint64_t mine = cluster.phase_of[size_t(e.current)];
  if (mine == 0) e.fail(fmt::format("barrier.cluster.wait at {}: the thread has not arrived", place(where)));
  if (cluster.phase < mine)
    e.wait_until([mine] { return cluster.phase >= mine; },
                 [] { return fmt::format("at the barrier of the cluster, with {} arrived,", cluster.arrived); }, where);
  if (options().check_memory) e.memory.take(e.current, cluster.completed);
}

}  // namespace graft::emu
