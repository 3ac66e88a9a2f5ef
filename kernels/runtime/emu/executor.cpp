#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "kernels/common/context.h"
#include "kernels/common/philox.h"
#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/executor_state.h"
#include "kernels/runtime/emu/location.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
using MayLeak = __lsan::ScopedDisabler;  // the stack of a faulty thread is abandoned, with the strings on it
#else
struct MayLeak {};
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace graft::emu {
namespace {

constexpr int kMaxSpins = 1 << 20;  // rounds in which threads did nothing but yield

void thread_main() {
  Executor& e = executor();
  e.observing = options().check_memory;
  e.launch->body(*e.launch);
  e.observing = false;
  e.exit_thread();
}

uint64_t volume(dim3 d) { return uint64_t{d.x} * d.y * d.z; }
uint3 coordinates(uint64_t i, dim3 d) { return {unsigned(i % d.x), unsigned(i / d.x % d.y), unsigned(i / d.x / d.y)}; }

}  // namespace

std::string Executor::at(int thread) const {
  const uint3 i = threads[size_t(thread)].index;
  return fmt::format("thread ({},{},{})", i.x, i.y, i.z);
}
std::string Executor::at_block(uint64_t b) const {
  const uint3 i = coordinates(b, launch->grid);
  return fmt::format("block ({},{},{})", i.x, i.y, i.z);
}
std::string Executor::who(int thread) const { return at_block(blocks[size_t(rank_of(thread))].index) + " " + at(thread); }
std::string Executor::message(int thread, const std::string& what) const {
  return fmt::format("emu: {}: {}: {}", function_name(launch->kernel), who(thread), what);
}
void Executor::fail(const std::string& what) {
  fault = message(current, what);
  suspend();
}
bool Executor::seeded() { return options().seed != 0; }
uint64_t Executor::draw(uint64_t below) { return below < 2 ? 0 : Philox{options().seed, cluster}.below(draws++, below); }

void Executor::wait_until(std::function<bool()> ready, std::function<std::string()> what, Where where) {
  Thread& t = self();
  t.where = where, t.ready = std::move(ready), t.what = std::move(what), t.state = State::polling;
  suspend();
}

// All lanes of the mask that have not exited are there: hand out the results.
bool Executor::complete(WarpMeeting& m, int first) {
  unsigned live_lanes = 0;
  const int end = std::min(first + 32, (rank_of(first) + 1) * count);
  for (int t = first; t < end; ++t)
    if (threads[size_t(t)].state != State::exited) live_lanes |= 1u << (t - first);
  if (!m.mask || (m.mask & live_lanes & ~m.arrived)) return false;
  unsigned ballot = 0;
  for (int l = 0; l < 32; ++l)
    if ((m.arrived >> l & 1) && m.values[l]) ballot |= 1u << l;
  const unsigned mask = m.mask;
  m.mask = 0;  // before a fault: this meeting is over
  if (m.op == WarpOp::instruction) {
    if (m.arrived != ~0u) {
      fault = message(
          first + __builtin_ctz(m.arrived),
          fmt::format("the instruction at {} needs all 32 lanes: expected mask 0xffffffff, got {:#x}", place(m.where), m.arrived));
      return true;
    }
    void* lanes[32];
    for (int l = 0; l < 32; ++l)
      lanes[l] = reinterpret_cast<void*>(m.values[l]);  // NOLINT(performance-no-int-to-ptr): what a lane sent
    m.finish(lanes);
  }
  for (int l = 0; l < 32; ++l) {
    if (!(m.arrived >> l & 1)) continue;
    Thread& t = threads.data()[first + l];
    if (m.op == WarpOp::shuffle) {
      if (!(m.arrived >> m.sources[l] & 1)) {
        fault = message(first + l, fmt::format("shuffle from lane {}, which {} at {}", m.sources[l],
                                               mask >> m.sources[l] & 1 ? "has exited" : "is not in the mask", place(t.where)));
        return true;
      }
      t.result = m.values[m.sources[l]];
    } else {
      t.result = ballot;
    }
    if (m.op == WarpOp::sync) memory.take(first + l, m.joined);
    t.state = State::ready;
  }
  return true;
}

void Executor::complete(Block& block, int id) {
  Barrier& b = block.barriers[id];
  const int expected = b.expected ? b.expected : block.live;
  if (b.waiting.empty() || int(b.waiting.size()) + b.arrived < expected) return;
  const Thread& first = threads[size_t(b.waiting[0])];
  for (int t : b.waiting) {
    const Where& w = threads[size_t(t)].where;
    if (id == 0 && (w.line() != first.where.line() || std::strcmp(w.file_name(), first.where.file_name()) != 0)) {
      fault =
          message(t, fmt::format("divergent barrier: it waits at {}, {} at {}", place(w), at(b.waiting[0]), place(first.where)));
      return;
    }
  }
  if (b.expected == 0) memory.full_barrier(rank_of(b.waiting[0]));
  for (int t : b.waiting) {
    if (b.expected) memory.take(t, b.joined);
    threads[size_t(t)].result = uint64_t(b.predicates);
    threads[size_t(t)].state = State::ready;
  }
  b = {};
  shuffle(warp_order);
}

void Executor::exit_thread() {
  tma_exit();
  self().state = State::exited;
  --live, --block().live;
  const int warp = current % count / 32;
  for (int i = 32 * warp; i < 32 * warp + 32; ++i)
    if (block().meetings[size_t(i)].mask) complete(block().meetings[size_t(i)], rank() * count + 32 * warp);
  complete(block(), 0);
  cluster_exit();
  suspend();
}

void Executor::run_thread(int id) {
  current = id;
  threadIdx = self().index;
  blockIdx = coordinates(block().index, launch->grid);
  self().fiber.resume();
  observing = false;
}

bool Executor::poll() {
  bool any = false;
  for (int t = 0; t < count * ranks && !fault; ++t) {
    Thread& thread = threads[size_t(t)];
    current = t;
    if (thread.state == State::polling && thread.ready()) thread.state = State::ready, any = true;
  }
  return any;
}

void Executor::run_cluster() {
  const int total = count * ranks, warps = (count + 31) / 32;
  shared_used = 0;
  ++clusters_run;
  shared_objects.clear();
  for (auto& f : in_flight) f.clear();
  for (int r = 0; r < ranks; ++r) std::memset(window(r), 0xFF, kDynamicStart + kSharedLimit);  // NaN in every float type
  if (options().check_memory) memory.start_cluster(cluster);
  reset_mbarriers(), reset_tma(), reset_wgmma();
  live = total;
  for (Block& b : blocks) {
    b.live = count;
    for (Barrier& barrier : b.barriers) barrier = {};
    for (WarpMeeting& m : b.meetings) m.mask = 0;
    for (WarpgroupMeeting& m : b.warpgroups) m.arrived = 0;
  }
  for (int t = 0; t < total; ++t) {
    Thread& thread = threads[size_t(t)];
    thread.index = coordinates(uint64_t(t % count), launch->block);
    thread.state = State::ready;
    thread.fiber.start(thread_main);
  }
  shuffle(warp_order);
  shuffle(lane_order);
  for (int spins = 0; live > 0 && !fault;) {
    bool progress = poll();
    for (int t = 0; t < total; ++t)
      if (threads[size_t(t)].state == State::yielded) threads[size_t(t)].state = State::ready;
    const auto order = warp_order;
    for (int warp : order)
      for (bool ran = true; ran && !fault;) {  // one warp as far as it can
        ran = false;
        for (int lane : lane_order) {
          const int in_block = warp % warps * 32 + lane, t = warp / warps * count + in_block;
          if (in_block >= count || threads[size_t(t)].state != State::ready) continue;
          run_thread(t);
          if (fault) return;
          ran = true;
          if (threads[size_t(t)].state != State::yielded) progress = true;
        }
      }
    spins = progress ? 0 : spins + 1;
    if (live == 0 || progress || fault) continue;
    bool any_yielded = false;
    for (int t = 0; t < total; ++t) any_yielded |= threads[size_t(t)].state == State::yielded;
    if ((any_yielded && spins < kMaxSpins) || poll()) continue;
    if (!fault) report_deadlock();
  }
  if (!fault) check_delivered();
}

// Nobody can go on. Names the first thread at each place.
void Executor::report_deadlock() {
  std::map<std::string, std::pair<int, int>> places;
  for (int t = count * ranks - 1; t >= 0; --t) {
    const Thread& thread = threads[size_t(t)];
    const auto waits = [&]() -> std::string {
      switch (thread.state) {
        case State::at_barrier: return fmt::format("at barrier {} at {}", thread.barrier_id, place(thread.where));
        case State::at_warpgroup_op: return fmt::format("for the rest of its warpgroup at {}", place(thread.where));
        case State::polling: return fmt::format("{} at {}", thread.what(), place(thread.where));
        case State::at_warp_op: return fmt::format("at a warp operation with mask {:#x} at {}", thread.mask, place(thread.where));
        default: return "spinning on an atomic";
      }
    };
    if (thread.state == State::exited) continue;
    auto& [first, n] = places[ranks > 1 ? fmt::format("{} in {}", waits(), at_block(blocks[size_t(rank_of(t))].index)) : waits()];
    first = t, ++n;
  }
  std::string list;
  int first = -1;
  for (const auto& [what, who] : places) {
    if (first < 0) first = who.first;
    list += fmt::format("{}{} waits {} ({} thread{} there)", list.empty() ? "" : "; ", at(who.first), what, who.second,
                        who.second == 1 ? "" : "s");
  }
  fault = message(first, fmt::format("deadlock: {}; {} of {} threads have exited", list, count * ranks - live, count * ranks));
}

Options& options() {
  static Options o = [] {
    const char* seed = std::getenv("GRAFT_EMU_SEED");
    return Options{seed ? std::strtoull(seed, nullptr, 10) : 0};
  }();
  return o;
}

bool observes() {
#if defined(GRAFT_EMU_OBSERVES)
  return true;
#else
  return false;
#endif
}

void run(const Launch& l) {
  Executor& e = executor();
  std::lock_guard lock(e.mutex);
  [[maybe_unused]] const MayLeak abandoned_stacks;
  const uint64_t threads = volume(l.block), blocks = volume(l.grid), ranks = volume(l.cluster);
  check<Error>(threads > 0 && threads <= 1024 && l.block.z <= 64, "emu: {}: block ({},{},{}): expected 1 to 1024 threads",
               function_name(l.kernel), l.block.x, l.block.y, l.block.z);
  check<Error>(blocks > 0 && l.grid.x <= 0x7fffffff && l.grid.y <= 65535 && l.grid.z <= 65535,
               "emu: {}: grid ({},{},{}): expected 1 to 2^31-1, 65535, 65535 blocks", function_name(l.kernel), l.grid.x, l.grid.y,
               l.grid.z);
  check<Error>(l.shared_bytes <= kSharedLimit, "emu: {}: {} bytes of shared memory: a block has at most {}",
               function_name(l.kernel), l.shared_bytes, kSharedLimit);
  check<Error>(ranks > 0 && ranks <= 8 && l.grid.x % l.cluster.x == 0 && l.grid.y % l.cluster.y == 0 && l.grid.z % l.cluster.z == 0,
               "emu: {}: cluster ({},{},{}) of grid ({},{},{}): expected at most 8 blocks, and whole clusters",
               function_name(l.kernel), l.cluster.x, l.cluster.y, l.cluster.z, l.grid.x, l.grid.y, l.grid.z);
  check<Error>(threads * ranks <= Fiber::kMaxFibers, "emu: {}: a cluster of {} threads: this executor has {}",
               function_name(l.kernel), threads * ranks, Fiber::kMaxFibers);
  if (!e.arena) e.arena = static_cast<std::byte*>(std::aligned_alloc(1024, kArena * kMaxRanks));  // taken from the system as used
  e.launch = &l;
  e.count = int(threads), e.ranks = int(ranks);
  gridDim = l.grid;
  blockDim = l.block;
  e.fault.reset();
  const size_t warps = (threads + 31) / 32;
  e.warp_order.resize(warps * ranks);
  e.lane_order.resize(32);
  std::iota(e.warp_order.begin(), e.warp_order.end(), 0);
  std::iota(e.lane_order.begin(), e.lane_order.end(), 0);
  e.blocks.resize(ranks);
  e.in_flight.resize(ranks);
  for (Block& b : e.blocks) b.meetings.resize(warps * 32), b.warpgroups.resize((warps + 3) / 4);
  e.draws = 0;
  e.memory.start_launch(e.count, e.ranks, kAgents);
  std::vector<uint32_t> order(blocks / ranks);
  std::iota(order.begin(), order.end(), 0u);
  e.cluster = 0;
  e.shuffle(order);
  const dim3 g = l.grid, c = l.cluster;
  for (uint32_t cluster : order) {
    e.cluster = cluster;
    const uint3 origin = coordinates(cluster, dim3(g.x / c.x, g.y / c.y, g.z / c.z));
    for (uint32_t r = 0; r < ranks; ++r) {
      const uint3 i = coordinates(r, c);
      e.blocks[r].index = origin.x * c.x + i.x + g.x * (origin.y * c.y + i.y + g.y * (origin.z * c.z + i.z));
    }
    e.run_cluster();
    if (e.fault) break;
  }
  e.memory.end_launch();
  e.launch = nullptr;
  if (e.fault) throw KernelFault(*e.fault);
}

static uint64_t meet(WarpOp op, unsigned mask, uint64_t value, int source, Finish finish, Where where) {
  Pause pause;
  Executor& e = executor();
  const int in_block = e.current % e.count, warp = in_block / 32, lane = in_block % 32;
  Thread& t = e.self();
  if (!(mask >> lane & 1)) e.fail(fmt::format("lane {} is not in its own mask {:#x} at {}", lane, mask, place(where)));
  WarpMeeting* m = nullptr;
  for (int i = 0; i < 32; ++i) {
    WarpMeeting& candidate = e.block().meetings[size_t(warp) * 32 + size_t(i)];
    if (candidate.mask == mask) m = &candidate;
    if (!candidate.mask && !m) m = &candidate;
  }
  if (m->mask != mask) *m = {mask, 0, op, {}, {}, finish, where, {}};
  if (m->op != op || m->finish != finish)
    e.fail(fmt::format("divergent warp: its lanes meet at {} and at {} with the same mask", place(where), place(m->where)));
  m->arrived |= 1u << lane;
  m->values[lane] = value;
  m->sources[lane] = source & 31;
  if (op == WarpOp::sync && options().check_memory) e.memory.join(e.current, m->joined);
  t.where = where, t.mask = mask, t.state = State::at_warp_op;
  e.complete(*m, e.current - lane);
  e.suspend();
  return t.result;
}

uint64_t warp_op(WarpOp op, unsigned mask, uint64_t value, int source, Where where) {
  return meet(op, mask, value, source, nullptr, where);
}
void warp_instruction(Finish finish, void* data, Where where) {
  meet(WarpOp::instruction, ~0u, reinterpret_cast<uintptr_t>(data), 0, finish, where);
}

void warpgroup_instruction(Finish finish, void* data, Where where) {
  Pause pause;
  Executor& e = executor();
  const int in_block = e.current % e.count, first = e.current - in_block % 128;
  if (in_block / 128 * 128 + 128 > e.count)
    e.fail(fmt::format("the instruction at {} needs a warpgroup of 128 threads: the block has {}", place(where), e.count));
  WarpgroupMeeting& m = e.block().warpgroups[size_t(in_block / 128)];
  if (m.arrived == 0) m.finish = finish, m.where = where;
  if (m.finish != finish)
    e.fail(fmt::format("divergent warpgroup: its threads meet at {} and at {}", place(where), place(m.where)));
  m.data[in_block % 128] = data;
  e.self().where = where, e.self().state = State::at_warpgroup_op;
  if (++m.arrived == 128) {
    m.arrived = 0;
    for (int t = first; t < first + 128; ++t) e.threads[size_t(t)].state = State::ready;
    m.finish(m.data);
  }
  e.suspend();
}

static uint64_t barrier_result(int id, int threads, bool wait, bool predicate, Where where) {
  Pause pause;
  Executor& e = executor();
  Thread& t = e.self();
  if (id < 0 || id > 15 || threads % 32)
    e.fail(fmt::format("barrier {} of {} threads at {}: expected 0 to 15, a multiple of 32", id, threads, place(where)));
  Barrier& b = e.block().barriers[id];
  if (threads && b.expected && b.expected != threads)
    e.fail(fmt::format("barrier {} is asked for {} threads at {}, before for {}", id, threads, place(where), b.expected));
  b.expected = threads;
  b.predicates += predicate;
  if (threads && options().check_memory) e.memory.join(e.current, b.joined);
  if (!wait) {
    ++b.arrived;
    e.complete(e.block(), id);
    return 0;
  }
  b.waiting.push_back(e.current);
  t.where = where, t.barrier_id = id, t.state = State::at_barrier;
  e.complete(e.block(), id);
  e.suspend();
  return t.result;
}
void barrier(int id, int threads, bool wait, Where where) { barrier_result(id, threads, wait, false, where); }
int barrier_count(bool predicate, Where where) { return int(barrier_result(0, 0, true, predicate, where)); }

void yield() {
  Pause pause;
  executor().self().state = State::yielded;
  executor().suspend();
}

int current_thread() { return executor().current; }
int current_lane() { return executor().current % executor().count % 32; }
uint64_t cluster_serial() { return executor().clusters_run; }
void fault(const std::string& what) {
  Pause pause;
  executor().fail(what);
}

}  // namespace graft::emu
