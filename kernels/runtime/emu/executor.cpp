#include "kernels/runtime/emu/executor.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/common/context.h"
#include "kernels/common/philox.h"
#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/fiber.h"
#include "kernels/runtime/emu/location.h"
#include "kernels/runtime/emu/memory_check.h"

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

constexpr size_t kStaticLimit = 48 << 10, kSharedLimit = 227 << 10;  // bytes a block may have: static; in all (sm_90)
constexpr size_t kSharedArena = 1 << 20;                             // with what lies around it: an access there is out of bounds
constexpr size_t kSharedBase = 384 << 10;
constexpr int kMaxSpins = 1 << 20;  // rounds in which threads did nothing but yield

enum class State : uint8_t { ready, yielded, at_barrier, at_warp_op, exited };

struct Thread {
  Fiber fiber;
  uint3 index;
  State state;
  Where where;  // of the barrier or warp operation it waits at
  int barrier_id;
  unsigned mask;  // of the warp operation
  uint64_t result;
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

struct Barrier {
  int expected = 0, arrived = 0, predicates = 0;
  std::vector<int> waiting;
  MemoryCheck::Clock joined;
};

struct Executor {
  std::mutex mutex;
  const Launch* launch = nullptr;
  std::vector<Thread> threads = std::vector<Thread>(Fiber::kMaxFibers);
  int count = 0, live = 0, current = -1;
  uint32_t block = 0;
  uint64_t blocks_run = 0, draws = 0;
  struct InFlight {
    const void* pc;
    int thread;
  };
  std::vector<InFlight> in_flight = std::vector<InFlight>(kSharedLimit / 16);  // of shared memory, 16 bytes each; pc null: none
  std::vector<int> warp_order, lane_order;
  std::vector<WarpMeeting> meetings;  // 32 a warp: as many as it can have disjoint masks
  Barrier barriers[16];
  std::map<const void*, size_t> shared_objects;
  size_t shared_used = 0;  // static bytes so far
  std::byte* arena = nullptr;
  std::optional<std::string> fault;
  MemoryCheck memory;
  bool observing = false;                  // kernel code is running: hooks report
  std::map<uintptr_t, uintptr_t> visible;  // begin -> end

  std::string at(int thread) const {
    const uint3 i = threads[size_t(thread)].index;
    return fmt::format("thread ({},{},{})", i.x, i.y, i.z);
  }
  std::string at_block(uint64_t b) const {
    const dim3 g = launch->grid;
    return fmt::format("block ({},{},{})", b % g.x, b / g.x % g.y, b / g.x / g.y);
  }
  // Ends the launch: no thread runs again.
  void fail(std::string what) {
    fault = fmt::format("emu: {}: {} {}: {}", function_name(launch->kernel), at_block(block), at(current), what);
    suspend();
  }
  void suspend() { threads[size_t(current)].fiber.suspend(); }
  uint64_t draw(uint64_t below) { return below < 2 ? 0 : Philox{options().seed, block}.below(draws++, below); }
  template <class T>
  void shuffle(std::vector<T>& v) {
    if (options().seed)
      for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[draw(i)]);
  }
  void run_block();
  void run_thread(int);
  void exit_thread();
  bool complete(WarpMeeting&, int warp);
  void complete(int id);
  unsigned live_lanes(int warp) const;
};

Executor& executor() {
  static Executor* e = new Executor;
  return *e;
}

// While the executor works for a thread, accesses are its own.
struct Pause {
  Pause() { executor().observing = false; }
  ~Pause() { executor().observing = options().check_memory; }
};

void thread_main() {
  Executor& e = executor();
  e.observing = options().check_memory;
  e.launch->body(*e.launch);
  e.observing = false;
  e.exit_thread();
}

unsigned Executor::live_lanes(int warp) const {
  unsigned lanes = 0;
  for (int t = warp * 32; t < std::min(count, warp * 32 + 32); ++t)
    if (threads[size_t(t)].state != State::exited) lanes |= 1u << (t % 32);
  return lanes;
}

// All lanes of the mask that have not exited are there: hand out the results.
bool Executor::complete(WarpMeeting& m, int warp) {
  if (!m.mask || (m.mask & live_lanes(warp) & ~m.arrived)) return false;
  unsigned ballot = 0;
  for (int l = 0; l < 32; ++l)
    if ((m.arrived >> l & 1) && m.values[l]) ballot |= 1u << l;
  const unsigned mask = m.mask;
  m.mask = 0;  // before fail(): this meeting is over
  if (m.op == WarpOp::instruction) {
    if (m.arrived != ~0u) {
      fault = fmt::format("emu: {}: {} {}: the instruction at {} needs all 32 lanes: expected mask 0xffffffff, got {:#x}",
                          function_name(launch->kernel), at_block(block), at(warp * 32 + __builtin_ctz(m.arrived)), place(m.where),
                          m.arrived);
      return true;
    }
    void* lanes[32];
    for (int l = 0; l < 32; ++l)
      lanes[l] = reinterpret_cast<void*>(m.values[l]);  // NOLINT(performance-no-int-to-ptr): what a lane sent
    m.finish(lanes);
  }
  for (int l = 0; l < 32; ++l) {
    if (!(m.arrived >> l & 1)) continue;
    const int id = warp * 32 + l;
    Thread& t = threads[size_t(id)];
    if (m.op == WarpOp::shuffle) {
      if (!(m.arrived >> m.sources[l] & 1)) {
        fault = fmt::format("emu: {}: {} {}: shuffle from lane {}, which {} at {}", function_name(launch->kernel), at_block(block),
                            at(id), m.sources[l], mask >> m.sources[l] & 1 ? "has exited" : "is not in the mask", place(t.where));
        return true;
      }
      t.result = m.values[m.sources[l]];
    } else {
      t.result = ballot;
    }
    if (m.op == WarpOp::sync) memory.take(id, m.joined);
    t.state = State::ready;
  }
  return true;
}

void Executor::complete(int id) {
  Barrier& b = barriers[id];
  const int expected = b.expected ? b.expected : live;
  if (b.waiting.empty() || int(b.waiting.size()) + b.arrived < expected) return;
  const Thread& first = threads[size_t(b.waiting[0])];
  for (int t : b.waiting) {
    const Where& w = threads[size_t(t)].where;
    if (id == 0 && (w.line() != first.where.line() || std::strcmp(w.file_name(), first.where.file_name()) != 0)) {
      fault = fmt::format("emu: {}: {} {}: divergent barrier: it waits at {}, {} at {}", function_name(launch->kernel),
                          at_block(block), at(t), place(w), at(b.waiting[0]), place(first.where));
      return;
    }
  }
  if (b.expected == 0) memory.full_barrier();
  for (int t : b.waiting) {
    if (b.expected) memory.take(t, b.joined);
    threads[size_t(t)].result = uint64_t(b.predicates);
    threads[size_t(t)].state = State::ready;
  }
  b = {};
  shuffle(warp_order);
}

void Executor::exit_thread() {
  threads[size_t(current)].state = State::exited;
  --live;
  for (WarpMeeting& m : meetings)
    if (m.mask && &m - meetings.data() >= current / 32 * 32 && &m - meetings.data() < current / 32 * 32 + 32)
      complete(m, current / 32);
  complete(0);
  suspend();
}

void Executor::run_thread(int id) {
  current = id;
  threadIdx = threads[size_t(id)].index;
  threads[size_t(id)].fiber.resume();
  observing = false;
}

void Executor::run_block() {
  const dim3 d = launch->block;
  shared_used = 0;
  ++blocks_run;
  std::fill(in_flight.begin(), in_flight.end(), InFlight{});
  shared_objects.clear();
  std::memset(arena + kSharedBase, 0xFF, kSharedLimit);  // NaN in every float type
  if (options().check_memory) memory.start_block(block, kSharedLimit);
  live = count;
  for (Barrier& b : barriers) b = {};
  for (WarpMeeting& m : meetings) m.mask = 0;
  for (int t = 0; t < count; ++t) {
    Thread& thread = threads[size_t(t)];
    thread.index = {unsigned(t) % d.x, unsigned(t) / d.x % d.y, unsigned(t) / d.x / d.y};
    thread.state = State::ready;
    thread.fiber.start(thread_main);
  }
  shuffle(warp_order);
  shuffle(lane_order);
  for (int spins = 0; live > 0 && !fault;) {
    bool progress = false, yielded = false;
    for (int t = 0; t < count; ++t)
      if (threads[size_t(t)].state == State::yielded) threads[size_t(t)].state = State::ready, yielded = true;
    const auto order = warp_order;
    for (int warp : order)
      for (bool ran = true; ran && !fault;) {  // one warp as far as it can
        ran = false;
        for (int lane : lane_order) {
          const int t = warp * 32 + lane;
          if (t >= count || threads[size_t(t)].state != State::ready) continue;
          run_thread(t);
          if (fault) return;
          ran = true;
          if (threads[size_t(t)].state != State::yielded) progress = true;
        }
      }
    spins = progress ? 0 : spins + 1;
    if (live == 0 || (progress && !fault) || (yielded && spins < kMaxSpins)) continue;
    bool any_yielded = false;
    for (int t = 0; t < count; ++t) any_yielded |= threads[size_t(t)].state == State::yielded;
    if (any_yielded && spins < kMaxSpins) continue;
    // Nobody can go on. Name the first thread at each place.
    std::map<std::string, std::pair<int, int>> places;
    for (int t = count - 1; t >= 0; --t) {
      const Thread& thread = threads[size_t(t)];
      if (thread.state == State::exited) continue;
      auto& [first, n] = places[thread.state == State::yielded ? std::string("spinning on an atomic")
                                : thread.state == State::at_barrier
                                    ? fmt::format("at barrier {} at {}", thread.barrier_id, place(thread.where))
                                    : fmt::format("at a warp operation with mask {:#x} at {}", thread.mask, place(thread.where))];
      first = t, ++n;
    }
    std::string list;
    int first = -1;
    for (const auto& [what, who] : places) {
      if (first < 0) first = who.first;
      list += fmt::format("{}{} waits {} ({} thread{} there)", list.empty() ? "" : "; ", at(who.first), what, who.second,
                          who.second == 1 ? "" : "s");
    }
    fault = fmt::format("emu: {}: {} {}: deadlock: {}; {} of {} threads have exited", function_name(launch->kernel),
                        at_block(block), at(first), list, count - live, count);
  }
}

bool in_module(const void* p) {  // constants of the program
  Dl_info info;
  return dladdr(p, &info) != 0;
}

}  // namespace

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

Visible::Visible(const void* data, size_t bytes) : data_(bytes ? data : nullptr) {
  if (!data_) return;
  std::lock_guard lock(executor().mutex);
  executor().visible[reinterpret_cast<uintptr_t>(data)] = reinterpret_cast<uintptr_t>(data) + bytes;
}
Visible::Visible(Visible&& v) noexcept : data_(std::exchange(v.data_, nullptr)) {}
Visible::~Visible() {
  if (!data_) return;
  std::lock_guard lock(executor().mutex);
  executor().visible.erase(reinterpret_cast<uintptr_t>(data_));
}

void run(const Launch& l) {
  Executor& e = executor();
  std::lock_guard lock(e.mutex);
  [[maybe_unused]] const MayLeak abandoned_stacks;
  const uint64_t threads = uint64_t(l.block.x) * l.block.y * l.block.z, blocks = uint64_t(l.grid.x) * l.grid.y * l.grid.z;
  check<Error>(threads > 0 && threads <= 1024 && l.block.z <= 64, "emu: {}: block ({},{},{}): expected 1 to 1024 threads",
               function_name(l.kernel), l.block.x, l.block.y, l.block.z);
  check<Error>(blocks > 0 && l.grid.x <= 0x7fffffff && l.grid.y <= 65535 && l.grid.z <= 65535,
               "emu: {}: grid ({},{},{}): expected 1 to 2^31-1, 65535, 65535 blocks", function_name(l.kernel), l.grid.x, l.grid.y,
               l.grid.z);
  check<Error>(l.shared_bytes <= kSharedLimit, "emu: {}: {} bytes of shared memory: a block has at most {}",
               function_name(l.kernel), l.shared_bytes, kSharedLimit);
  if (!e.arena) e.arena = static_cast<std::byte*>(std::aligned_alloc(1024, kSharedArena));
  e.launch = &l;
  e.count = int(threads);
  gridDim = l.grid;
  blockDim = l.block;
  e.fault.reset();
  const size_t warps = (threads + 31) / 32;
  e.warp_order.resize(warps);
  e.lane_order.resize(32);
  std::iota(e.warp_order.begin(), e.warp_order.end(), 0);
  std::iota(e.lane_order.begin(), e.lane_order.end(), 0);
  e.meetings.resize(warps * 32);
  e.draws = 0;
  e.memory.start_launch(blocks, e.count);
  std::vector<uint32_t> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  e.block = 0;
  e.shuffle(order);
  for (uint32_t b : order) {
    e.block = b;
    blockIdx = {b % l.grid.x, b / l.grid.x % l.grid.y, b / l.grid.x / l.grid.y};
    e.run_block();
    if (e.fault) break;
  }
  e.memory.end_launch();
  e.launch = nullptr;
  if (e.fault) throw KernelFault(*e.fault);
}

static uint64_t meet(WarpOp op, unsigned mask, uint64_t value, int source, Finish finish, Where where) {
  Pause pause;
  Executor& e = executor();
  const int warp = e.current / 32, lane = e.current % 32;
  Thread& t = e.threads[size_t(e.current)];
  if (!(mask >> lane & 1)) e.fail(fmt::format("lane {} is not in its own mask {:#x} at {}", lane, mask, place(where)));
  WarpMeeting* m = nullptr;
  for (int i = 0; i < 32; ++i) {
    WarpMeeting& candidate = e.meetings[size_t(warp) * 32 + size_t(i)];
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
  e.complete(*m, warp);
  e.suspend();
  return t.result;
}

uint64_t warp_op(WarpOp op, unsigned mask, uint64_t value, int source, Where where) {
  return meet(op, mask, value, source, nullptr, where);
}
void warp_instruction(Finish finish, void* data, Where where) {
  meet(WarpOp::instruction, ~0u, reinterpret_cast<uintptr_t>(data), 0, finish, where);
}

static uint64_t barrier_result(int id, int threads, bool wait, bool predicate, Where where) {
  Pause pause;
  Executor& e = executor();
  Thread& t = e.threads[size_t(e.current)];
  if (id < 0 || id > 15 || threads % 32)
    e.fail(fmt::format("barrier {} of {} threads at {}: expected 0 to 15, a multiple of 32", id, threads, place(where)));
  Barrier& b = e.barriers[id];
  if (threads && b.expected && b.expected != threads)
    e.fail(fmt::format("barrier {} is asked for {} threads at {}, before for {}", id, threads, place(where), b.expected));
  b.expected = threads;
  b.predicates += predicate;
  if (threads && options().check_memory) e.memory.join(e.current, b.joined);
  if (!wait) {
    ++b.arrived;
    e.complete(id);
    return 0;
  }
  b.waiting.push_back(e.current);
  t.where = where, t.barrier_id = id, t.state = State::at_barrier;
  e.complete(id);
  e.suspend();
  return t.result;
}
void barrier(int id, int threads, bool wait, Where where) { barrier_result(id, threads, wait, false, where); }
int barrier_count(bool predicate, Where where) { return int(barrier_result(0, 0, true, predicate, where)); }

void* shared_bytes(const void* key, size_t bytes, size_t align, Where where) {
  Pause pause;
  Executor& e = executor();
  if (const auto found = e.shared_objects.find(key); found != e.shared_objects.end()) return e.arena + kSharedBase + found->second;
  const size_t dynamic = (e.launch->shared_bytes + 1023) / 1024 * 1024;  // static objects lie behind the dynamic ones
  const size_t begin = (std::max(dynamic, e.shared_used) + align - 1) / align * align;
  if (begin + bytes - dynamic > kStaticLimit || begin + bytes > kSharedLimit)
    e.fail(fmt::format("{} bytes of shared memory at {}: a block has at most {} static, {} in all", bytes, place(where),
                       kStaticLimit, kSharedLimit));
  e.shared_objects[key] = begin;
  e.shared_used = begin + bytes;
  return e.arena + kSharedBase + begin;
}
void* dynamic_shared_bytes() { return executor().arena + kSharedBase; }

void fence() {
  Pause pause;
  executor().memory.fence(executor().current);
}

void yield() {
  Pause pause;
  executor().threads[size_t(executor().current)].state = State::yielded;
  executor().suspend();
}

int current_thread() { return executor().current; }
uint64_t block_serial() { return executor().blocks_run; }
void fault(const std::string& what) {
  Pause pause;
  executor().fail(what);
}

void async_start(void* shared, const void* pc) {
  Executor& e = executor();
  const uintptr_t offset = reinterpret_cast<uintptr_t>(shared) - reinterpret_cast<uintptr_t>(e.arena) - kSharedBase;
  if (offset + 16 > kSharedLimit) fault(fmt::format("an asynchronous copy at {} writes outside of shared memory", place(pc)));
  access(shared, 16, true, false, pc, nullptr);
  std::memset(shared, 0xFF, 16);
  e.in_flight[offset / 16] = {pc, e.current};
}
void async_end(void* shared) {
  Executor& e = executor();
  e.in_flight[(reinterpret_cast<uintptr_t>(shared) - reinterpret_cast<uintptr_t>(e.arena) - kSharedBase) / 16] = {};
}

void access(const void* address, size_t bytes, bool write, bool atomic, const void* pc, const Where* where) {
  Executor& e = executor();
  if (!e.observing) return;
  const auto a = reinterpret_cast<uintptr_t>(address);
  const auto inside = [&](const void* object, size_t n) { return a - reinterpret_cast<uintptr_t>(object) < n; };
  if (Fiber::on_stack(address) || inside(&threadIdx, sizeof threadIdx) || inside(&blockIdx, sizeof blockIdx) ||
      inside(&blockDim, sizeof blockDim) || inside(&gridDim, sizeof gridDim) || inside(e.launch->params, e.launch->params_bytes) ||
      inside(e.launch, sizeof *e.launch))
    return;
  Pause pause;
  const auto here = [&] { return where ? place(*where) : place(pc); };
  const char* verb = atomic ? "updates" : write ? "writes" : "reads";
  const auto arena = reinterpret_cast<uintptr_t>(e.arena);
  const bool shared = inside(e.arena, kSharedArena);
  const uintptr_t offset = shared ? a - arena - kSharedBase : 0;  // huge below the base
  if (shared) {
    bool ok = offset + bytes <= e.launch->shared_bytes && offset < kSharedLimit;
    if (!ok && offset < kSharedLimit && offset >= e.launch->shared_bytes) ok = offset + bytes <= e.shared_used;
    if (!ok)
      e.fail(fmt::format("out of bounds of shared memory: it {} {} bytes at offset {} of {} bytes, at {}", verb, bytes,
                         int64_t(offset), std::max(e.launch->shared_bytes, e.shared_used), here()));
    for (size_t i = offset / 16; i <= (offset + bytes - 1) / 16; ++i)
      if (const auto& f = e.in_flight[i]; f.pc)
        e.fail(fmt::format("asynchronous copy in flight: it {} {} bytes at {}, which {} copies to at {} and has not waited for",
                           verb, bytes, here(), e.at(f.thread), place(f.pc)));
  } else if (!e.visible.empty()) {
    auto next = e.visible.upper_bound(a);
    const bool ok = next != e.visible.begin() && a + bytes <= std::prev(next)->second;
    if (!ok && !e.launch->context->workspace().holds(address, bytes) && (write || !in_module(address))) {
      std::string near;
      if (next != e.visible.begin())
        near = fmt::format("{} bytes behind the end of an array of {} bytes", int64_t(a - std::prev(next)->second),
                           std::prev(next)->second - std::prev(next)->first);
      if (next != e.visible.end() && (near.empty() || next->first - a < a - std::prev(next)->second))
        near = fmt::format("{} bytes before the start of an array of {} bytes", next->first - a, next->second - next->first);
      e.fail(fmt::format("out of bounds of global memory: it {} {} bytes {}, at {}", verb, bytes, near, here()));
    }
  }
  const auto c = e.memory.record(shared, shared ? offset : a, bytes, write, atomic, e.current, pc);
  if (c.found)
    e.fail(fmt::format("race on {} memory: it {} {} bytes at {}, which {}{} {} at {}, with nothing between that orders them{}",
                       shared ? "shared" : "global", verb, bytes, here(),
                       c.earlier.block == e.block ? "" : e.at_block(c.earlier.block) + " ", e.at(c.earlier.thread),
                       c.earlier_wrote ? "wrote" : "read", c.earlier.pc ? place(c.earlier.pc) : "an atomic",
                       c.earlier.updates ? " (an update that is not atomic is lost)" : ""));
}

void misaligned(const void* address, size_t align, const char* file, unsigned line) {
  Executor& e = executor();
  if (!e.observing) return;
  Pause pause;
  const std::string path = file;
  e.fail(
      fmt::format("misaligned access: {} is no multiple of {}, at {}:{}", address, align, path.substr(path.rfind('/') + 1), line));
}

void atomic_access(void* address, size_t bytes, Where where) {
  yield();
  access(address, bytes, true, true, nullptr, &where);
  Pause pause;
  if (options().check_memory) executor().memory.atomic_order(executor().current, address);
}

}  // namespace graft::emu
