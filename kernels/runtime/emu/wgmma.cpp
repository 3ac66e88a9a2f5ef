// wgmma on the host. Operands are checked and closed when an instruction is issued, d becomes NaN; the sums, exact and rounded
// once, are made at the wait from what then lies in shared memory.
#include <fmt/core.h>

#include <bit>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>

#include "kernels/common/half.h"
#include "kernels/common/tensor_map.h"
#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/executor_state.h"
#include "kernels/runtime/emu/hopper.h"
#include "kernels/runtime/emu/location.h"

namespace graft::emu {
namespace {

constexpr int kThreads = 128, kM = 64;

// An operand in shared memory: mn (m of a, n of b) by k.
struct Operand {
  uint32_t start, leading, stride;
  Swizzle swizzle;
  bool along_mn;
  int bytes;  // of an element

  Operand(uint64_t descriptor, bool along_mn, int element_bytes)
      : start(uint32_t(descriptor & 0x3fff) << 4),
        leading(uint32_t(descriptor >> 16 & 0x3fff) << 4),
        stride(uint32_t(descriptor >> 32 & 0x3fff) << 4),
        swizzle(descriptor >> 62 ? Swizzle(4 - (descriptor >> 62)) : Swizzle::none),
        along_mn(along_mn),
        bytes(element_bytes) {}
  uint32_t place(int mn, int k) const {  // in the window
    const int per_chunk = 16 / bytes, along = along_mn ? mn : k, across = along_mn ? k : mn;
    const auto chunk = uint32_t(along / per_chunk), group = uint32_t(across / 8), line = uint32_t(across % 8);
    const auto width = uint32_t(swizzle_bytes(swizzle)), wide = chunk * 16 / width, within = chunk * 16 % width;
    uint32_t at = start + within + line * width + uint32_t(along % per_chunk * bytes);
    if (swizzle == Swizzle::none && along_mn) at += wide * stride + group * leading;
    else if (swizzle == Swizzle::none || along_mn) at += wide * leading + group * stride;
    else at += wide * width + group * stride;  // beyond the width: not an operand of one instruction
    return swizzled(at, swizzle);
  }
};

using Values = std::vector<float>;  // of all threads, one after the other
struct Op {
  WgmmaIssue issue;
  float* d[kThreads];
  Values start;  // d before; empty where an earlier one in flight makes it
  std::vector<uint32_t> a_registers;
  std::vector<uint32_t> chunks;  // of the window, that it reads
  uint32_t operation;
};
struct Warpgroup {
  std::deque<Op> ops;
  std::deque<size_t> groups;  // how many ops each has
  size_t open = 0;
  int registers = 0;
};
std::unordered_map<int, Warpgroup> warpgroups;  // by their first thread, those that have used an instruction of this file

// Arrays of a thread that were accumulators since its last fence.
struct Registers {
  uintptr_t begin, end;
  int in_flight;
  bool touched;
  const void* pc;
};
struct ThreadState {
  bool fenced = false;
  std::vector<Registers> registers;
};
std::vector<ThreadState> threads;  // empty until one is used

int first_thread() { return executor().current - executor().current % executor().count % kThreads; }
Warpgroup& own() { return warpgroups[first_thread()]; }
ThreadState& state_of(int thread) {
  Executor& e = executor();
  if (threads.empty()) threads.resize(size_t(e.count) * size_t(e.ranks)), e.accumulators = true;
  return threads[size_t(thread)];
}
int own_agent() {
  Executor& e = executor();
  return e.memory.agent(e.rank(), kWarpgroups + e.current % e.count / kThreads);
}
Registers* registers_of(int thread, const float* d) {
  for (Registers& r : state_of(thread).registers)
    if (r.begin == reinterpret_cast<uintptr_t>(d)) return &r;
  return nullptr;
}

float value(WgmmaIssue::Type type, uint32_t bits) {
  if (type == WgmmaIssue::bf16) return std::bit_cast<float>(bits << 16);
  if (type == WgmmaIssue::tf32) return std::bit_cast<float>(bits & 0xffffe000u);
  Half h;
  h.bits = uint16_t(bits);
  return float(h);
}

// d's registers of thread t, one by one: f(i, row, column).
template <class F>
void each_sum(int n, int t, F f) {
  const int g = t % 32 / 4, q = t % 4;
  for (int i = 0; i < n / 2; ++i) f(i, t / 32 * 16 + g + i / 2 % 2 * 8, i / 4 * 8 + 2 * q + i % 2);
}

void multiply(const Op& op) {
  const WgmmaIssue& w = op.issue;
  const int bytes = w.type == WgmmaIssue::tf32 ? 4 : 2, depth = 32 / bytes, pack = 4 / bytes;
  const std::byte* window = executor().window(executor().rank());
  const auto load = [&](const Operand& o, int mn, int k) {
    uint32_t bits = 0;
    std::memcpy(&bits, window + o.place(mn, k), size_t(bytes));
    return value(w.type, bits);
  };
  std::vector<double> values(size_t(kM + w.n) * size_t(depth) + kM * size_t(w.n), 0.0);
  double *const a = values.data(), *const b = a + kM * depth, *const sum = b + w.n * depth;
  const Operand oa(w.a, w.a_along_m, bytes), ob(w.b, w.b_along_n, bytes);
  if (w.a_registers) {
    for (int t = 0; t < kThreads; ++t)
      for (int r = 0; r < 4; ++r)
        for (int e = 0; e < pack; ++e) {
          const int row = t / 32 * 16 + t % 32 / 4 + r % 2 * 8, k = t % 4 * pack + e + r / 2 * (depth / 2);
          a[row * depth + k] = value(w.type, op.a_registers.data()[4 * t + r] >> (16 * e) & (bytes == 2 ? 0xffffu : ~0u));
        }
  } else {
    for (int i = 0; i < kM; ++i)
      for (int k = 0; k < depth; ++k) a[i * depth + k] = load(oa, i, k);
  }
  for (int k = 0; k < depth; ++k)
    for (int j = 0; j < w.n; ++j) b[k * w.n + j] = load(ob, j, k);
  if (w.accumulate)
    for (int t = 0; t < kThreads; ++t) each_sum(w.n, t, [&](int i, int row, int j) { sum[row * w.n + j] = op.d[t][i]; });
  for (int i = 0; i < kM; ++i) {
    double* const s = sum + i * w.n;
    for (int k = 0; k < depth; ++k) {
      const double x = a[i * depth + k], *y = b + k * w.n;
      for (int j = 0; j < w.n; ++j) s[j] += x * y[j];
    }
  }
  for (int t = 0; t < kThreads; ++t) each_sum(w.n, t, [&](int i, int row, int j) { op.d[t][i] = float(sum[row * w.n + j]); });
}

// Keeps what d holds and makes it NaN, unless an earlier instruction in flight makes it.
void close_accumulators(Warpgroup& w, Op& op) {
  for (const Op& earlier : w.ops) {
    if (&earlier == &op) break;
    if (earlier.d[0] == op.d[0]) return;
  }
  const size_t count = size_t(op.issue.n / 2);
  op.start.resize(kThreads * count);
  for (size_t t = 0; t < kThreads; ++t) {
    std::memcpy(op.start.data() + t * count, op.d[t], count * sizeof(float));
    std::memset(op.d[t], 0xFF, count * sizeof(float));
  }
}

void check_operand(const char* name, const Operand& o, uint64_t descriptor, int mn, const WgmmaIssue& w,
                   const MemoryCheck::Clock& known, std::vector<uint32_t>& chunks) {
  Executor& e = executor();
  const int depth = 32 / o.bytes, per_chunk = 16 / o.bytes;
  if (descriptor >> 49 & 7)
    e.fail(fmt::format("wgmma at {}: descriptor of {}: expected base offset 0: patterns begin at multiples of {}, got {}",
                       place(w.pc), name, swizzle_alignment(o.swizzle), descriptor >> 49 & 7));
  for (int i = 0; i < mn; i += o.along_mn ? per_chunk : 1)
    for (int k = 0; k < depth; k += o.along_mn ? 1 : per_chunk) {
      const uint32_t at = o.place(i, k);
      if (options().check_memory) e.check_access(e.window(e.rank()) + at, 16, false, false, own_agent(), &known, w.pc, nullptr);
      chunks.push_back(at);
    }
}

void issue(void* const* lanes) {
  Executor& e = executor();
  const auto of = [&](int t) -> const WgmmaIssue& { return *static_cast<const WgmmaIssue*>(lanes[t]); };
  Warpgroup& wg = own();
  Op& op = wg.ops.emplace_back();
  ++wg.open;
  op.issue = of(0);
  const WgmmaIssue& w = op.issue;
  for (int t = 0; t < kThreads; ++t) {
    if (of(t).a != w.a || of(t).b != w.b || of(t).n != w.n || of(t).accumulate != w.accumulate)
      e.fail(fmt::format("wgmma at {}: expected the same descriptors in all threads of the warpgroup: {} differs from {}",
                         place(w.pc), e.at(first_thread() + t), e.at(first_thread())));
    op.d[t] = of(t).d;
    if (w.a_registers) op.a_registers.insert(op.a_registers.end(), of(t).a_registers, of(t).a_registers + 4);
    const auto begin = reinterpret_cast<uintptr_t>(op.d[t]);
    Registers* r = registers_of(first_thread() + t, op.d[t]);
    auto& list = state_of(first_thread() + t).registers;
    if (!r) r = &list.emplace_back(Registers{begin, begin + size_t(w.n) * 2, 0, false, nullptr});
    ++r->in_flight, r->pc = w.pc;
  }
  MemoryCheck::Clock known;
  if (options().check_memory) {
    op.operation = e.memory.next_operation(own_agent());
    known = e.memory.known(first_thread(), kThreads);
  }
  const int bytes = w.type == WgmmaIssue::tf32 ? 4 : 2;
  if (!w.a_registers) check_operand("a", Operand(w.a, w.a_along_m, bytes), w.a, kM, w, known, op.chunks);
  check_operand("b", Operand(w.b, w.b_along_n, bytes), w.b, w.n, w, known, op.chunks);
  for (uint32_t c : op.chunks) {
    InFlight& f = e.in_flight_at({e.rank(), c});
    f.pc = w.pc, f.thread = e.current, ++f.reads;
  }
  close_accumulators(wg, op);
}

void finish(Warpgroup& wg) {
  Executor& e = executor();
  Op& op = wg.ops.front();
  const size_t count = size_t(op.issue.n / 2);
  for (size_t t = 0; t < kThreads && !op.start.empty(); ++t) {
    for (size_t i = 0; i < count; ++i)
      if (std::bit_cast<uint32_t>(op.d[t][i]) != ~0u)
        e.fail(fmt::format("{} has written to accumulators of the wgmma at {} before it waited for it",
                           e.at(first_thread() + int(t)), place(op.issue.pc)));
    std::memcpy(op.d[t], op.start.data() + t * count, count * sizeof(float));
  }
  multiply(op);
  for (uint32_t c : op.chunks) --e.in_flight_at({e.rank(), c}).reads;
  for (int t = 0; t < kThreads; ++t) {
    if (options().check_memory) e.memory.learn(first_thread() + t, own_agent(), op.operation);
    --registers_of(first_thread() + t, op.d[t])->in_flight;
  }
  wg.ops.pop_front();
}

void wait(void* const* lanes) {
  Warpgroup& wg = own();
  const int pending = *static_cast<const int*>(lanes[0]);
  for (; int(wg.groups.size()) > pending; wg.groups.pop_front())
    for (size_t i = 0; i < wg.groups.front(); ++i) finish(wg);
  for (Op& op : wg.ops)
    if (op.start.empty()) close_accumulators(wg, op);
}

void commit(void* const*) {
  Warpgroup& wg = own();
  wg.groups.push_back(std::exchange(wg.open, 0));
}

void count_registers(void* const* lanes) {
  Executor& e = executor();
  own().registers = *static_cast<const int*>(lanes[0]);
  // What the block got at its launch: 65536 registers at most, equal shares in units of 8.
  const int pool = 65536 / e.count / 8 * 8 * e.count;
  int sum = 0;
  for (int i = 0; i < e.count / kThreads; ++i) {
    const int n = warpgroups[e.rank() * e.count + i * kThreads].registers;
    if (!n) return;
    sum += n * kThreads;
  }
  if (sum > pool)
    e.fail(
        fmt::format("setmaxnreg: the warpgroups ask for {} registers: the block has {} (the last one waits for ever)", sum, pool));
}

}  // namespace

void reset_wgmma() {
  warpgroups.clear();
  threads.clear();
  executor().accumulators = false;
}

void wgmma_fence_registers() {
  ThreadState& t = state_of(executor().current);
  t.fenced = true;
  std::erase_if(t.registers, [](const Registers& r) { return r.in_flight == 0; });
}

void wgmma_issue(const WgmmaIssue& w, Where where) {
  {
    Pause pause;
    Executor& e = executor();
    ThreadState& t = state_of(e.current);
    const Registers* r = registers_of(e.current, w.d);
    if (!t.fenced) e.fail(fmt::format("wgmma at {}: expected a wgmma_fence() before the first one", place(w.pc)));
    if (r && r->touched)
      e.fail(fmt::format("wgmma at {}: its accumulators were written since the last wgmma_fence()", place(w.pc)));
  }
  warpgroup_instruction(issue, const_cast<WgmmaIssue*>(&w), where);
}
void wgmma_commit(Where where) { warpgroup_instruction(commit, nullptr, where); }
void wgmma_wait_groups(int pending, Where where) { warpgroup_instruction(wait, &pending, where); }
void set_registers(int count, bool, Where where) { warpgroup_instruction(count_registers, &count, where); }

void wgmma_register_access(const void* p, bool write, const void* pc) {
  Executor& e = executor();
  for (Registers& r : threads[size_t(e.current)].registers) {
    if (reinterpret_cast<uintptr_t>(p) < r.begin || reinterpret_cast<uintptr_t>(p) >= r.end) continue;
    if (r.in_flight) {
      Pause pause;
      e.fail(fmt::format("accumulators in flight: it {} at {} what the wgmma at {} makes, without wgmma_wait()",
                         write ? "writes" : "reads", place(pc), place(r.pc)));
    }
    r.touched |= write;
  }
}

}  // namespace graft::emu
