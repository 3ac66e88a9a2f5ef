// Memory as kernels see it: shared memory of the blocks, the visible arrays, and the check of each access.
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/common/context.h"
#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/executor_state.h"
#include "kernels/runtime/emu/location.h"

namespace graft::emu {
namespace {

bool in_module(const void* p) {  // constants of the program
  Dl_info info;
  return dladdr(p, &info) != 0;
}

}  // namespace

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

void* shared_bytes(const void* key, size_t bytes, size_t align, Where where) {
  Pause pause;
  Executor& e = executor();
  std::byte* const window = e.window(e.rank());
  if (const auto found = e.shared_objects.find(key); found != e.shared_objects.end()) return window + found->second;
  const size_t dynamic = (kDynamicStart + e.launch->shared_bytes + 1023) / 1024 * 1024;  // static objects lie behind these
  const size_t begin = (std::max(dynamic, e.shared_used) + align - 1) / align * align;
  if (begin + bytes - dynamic > kStaticLimit || begin + bytes > kDynamicStart + kSharedLimit)
    e.fail(fmt::format("{} bytes of shared memory at {}: a block has at most {} static, {} in all", bytes, place(where),
                       kStaticLimit, kSharedLimit));
  e.shared_objects[key] = begin;
  e.shared_used = begin + bytes;
  return window + begin;
}
void* dynamic_shared_bytes() { return executor().window(executor().rank()) + kDynamicStart; }

MemoryCheck::Place Executor::place_of(const void* address) const {
  const uintptr_t a = reinterpret_cast<uintptr_t>(address), offset = a - reinterpret_cast<uintptr_t>(arena);
  if (offset >= kArena * size_t(ranks)) return {-1, a};
  return {int(offset / kArena), offset % kArena - kWindow};  // huge below the window
}

InFlight& Executor::in_flight_at(MemoryCheck::Place p) {
  auto& chunks = in_flight[size_t(p.rank)];
  if (p.at / 16 >= chunks.size()) chunks.resize(std::max(p.at / 16 + 1, chunks.size() * 2));
  return chunks[p.at / 16];
}

void fence() {
  Pause pause;
  executor().memory.fence(executor().current);
}

void async_start(void* shared, const void* pc) {
  Executor& e = executor();
  if (const auto p = e.place_of(shared); p.rank != e.rank() || p.at + 16 > kDynamicStart + kSharedLimit)
    fault(fmt::format("an asynchronous copy at {} writes outside of shared memory", place(pc)));
  access(shared, 16, true, false, pc, nullptr);
  std::memset(shared, 0xFF, 16);
  e.in_flight_at(e.place_of(shared)) = {pc, e.current, true, 0};
}
void async_end(void* shared) {
  Executor& e = executor();
  e.in_flight_at(e.place_of(shared)) = {};
}

void Executor::check_access(const void* address, size_t bytes, bool write, bool atomic, int agent, const MemoryCheck::Clock* known,
                            const void* pc, const Where* where) {
  const auto a = reinterpret_cast<uintptr_t>(address);
  const auto here = [&] { return where ? place(*where) : place(pc); };
  const char* verb = atomic ? "updates" : write ? "writes" : "reads";
  const MemoryCheck::Place at_place = place_of(address);
  const bool shared = at_place.rank >= 0;
  if (shared) {
    const uintptr_t at = at_place.at, limit = kDynamicStart + kSharedLimit, dynamic_end = kDynamicStart + launch->shared_bytes;
    bool ok = at >= kDynamicStart && at + bytes <= dynamic_end;
    if (!ok && at < limit && at >= dynamic_end) ok = at + bytes <= shared_used;
    if (!ok)
      fail(fmt::format("out of bounds of shared memory: it {} {} bytes at offset {} of {} bytes, at {}", verb, bytes,
                       int64_t(at - (launch->shared_bytes ? kDynamicStart : 1024)),
                       std::max(launch->shared_bytes, shared_used ? shared_used - 1024 : 0), here()));
    if (at_place.rank != rank() && blocks[size_t(at_place.rank)].live == 0)
      fail(fmt::format("shared memory of a block that has exited: it {} {} bytes of {}, at {}", verb, bytes,
                       at_block(blocks[size_t(at_place.rank)].index), here()));
    for (uintptr_t i = at / 16; i <= (at + bytes - 1) / 16; ++i) {
      const auto& chunks = in_flight[size_t(at_place.rank)];
      if (i >= chunks.size()) break;
      const InFlight& f = chunks[i];
      if (f.written)
        fail(fmt::format("asynchronous copy in flight: it {} {} bytes at {}, which {} copies to at {} and has not waited for", verb,
                         bytes, here(), this->at(f.thread), place(f.pc)));
      if (f.reads && write)
        fail(
            fmt::format("asynchronous operation in flight: it writes {} bytes at {}, which {} lets an operation read at {} that it "
                        "has not waited for",
                        bytes, here(), this->at(f.thread), place(f.pc)));
    }
  } else if (!visible.empty()) {
    auto next = visible.upper_bound(a);
    const bool ok = next != visible.begin() && a + bytes <= std::prev(next)->second;
    if (!ok && !launch->context->workspace().holds(address, bytes) && (write || !in_module(address))) {
      std::string near;
      if (next != visible.begin())
        near = fmt::format("{} bytes behind the end of an array of {} bytes", int64_t(a - std::prev(next)->second),
                           std::prev(next)->second - std::prev(next)->first);
      if (next != visible.end() && (near.empty() || next->first - a < a - std::prev(next)->second))
        near = fmt::format("{} bytes before the start of an array of {} bytes", next->first - a, next->second - next->first);
      fail(fmt::format("out of bounds of global memory: it {} {} bytes {}, at {}", verb, bytes, near, here()));
    }
  }
  if (!options().check_memory) return;
  const auto c = known ? memory.record_async(at_place, bytes, write, agent, *known, pc)
                       : memory.record(at_place, bytes, write, atomic, current, pc);
  if (!c.found) return;
  const auto of_agent = [&](int t) { return (t - count * ranks) % kAgents >= kWarpgroups ? "a wgmma" : "a TMA copy"; };
  const std::string earlier = c.earlier.async ? of_agent(c.earlier.thread)
                              : c.earlier.cluster != cluster && ranks == 1
                                  ? at_block(c.earlier.cluster) + " " + at(c.earlier.thread)
                              : rank_of(c.earlier.thread) != rank() ? who(c.earlier.thread)
                                                                    : at(c.earlier.thread);
  if (c.unfenced)
    fail(fmt::format("missing fence.proxy.async: {} {} {} bytes of {} memory at {}, which {} wrote at {} through the generic proxy",
                     of_agent(agent), verb, bytes, shared ? "shared" : "global", here(), earlier, place(c.earlier.pc)));
  fail(fmt::format("race on {} memory: {} {} {} bytes at {}, which {} {} at {}, with nothing between that orders them{}",
                   shared ? "shared" : "global", known ? of_agent(agent) : "it", verb, bytes, here(), earlier,
                   c.earlier_wrote ? "wrote" : "read", c.earlier.pc ? place(c.earlier.pc) : "an atomic",
                   c.earlier.updates ? " (an update that is not atomic is lost)" : ""));
}

void access(const void* address, size_t bytes, bool write, bool atomic, const void* pc, const Where* where) {
  Executor& e = executor();
  if (!e.observing) return;
  const auto inside = [&](const void* object, size_t n) {
    return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(object) < n;
  };
  if (Fiber::on_stack(address)) {
    if (e.accumulators) wgmma_register_access(address, write, pc);
    return;
  }
  if (inside(&threadIdx, sizeof threadIdx) || inside(&blockIdx, sizeof blockIdx) || inside(&blockDim, sizeof blockDim) ||
      inside(&gridDim, sizeof gridDim) || inside(e.launch->params, e.launch->params_bytes) || inside(e.launch, sizeof *e.launch))
    return;
  Pause pause;
  e.check_access(address, bytes, write, atomic, -1, nullptr, pc, where);
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
