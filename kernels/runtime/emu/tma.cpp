// TMA on the host. A load is checked and its destination closed when it is issued; its data arrive with the end of the phase of
// its mbarrier. A store is checked and its source closed when it is issued; it happens at the wait.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/runtime/emu/emu.h"
#include "kernels/runtime/emu/executor_state.h"
#include "kernels/runtime/emu/hopper.h"
#include "kernels/runtime/emu/location.h"
#include "kernels/runtime/emu/mbarrier.h"

namespace graft::emu {

int TensorMap::rows() const {
  if (im2col) return pixels;
  int n = 1;
  for (int i = 1; i < tensor.rank; ++i) n *= (tensor.box[i] + tensor.step[i] - 1) / tensor.step[i];
  return n;
}

namespace {

void check_common(const TiledTensor& t, int row_bytes) {
  check<DeviceError>(t.dtype == DType::f32 || t.dtype == DType::bf16 || t.dtype == DType::f16,
                     "tensor map: expected elements of f32, bf16 or f16, got {}", name(t.dtype));
  check<DeviceError>(reinterpret_cast<uintptr_t>(t.data) % 16 == 0, "tensor map: data: expected a multiple of 16, got {}", t.data);
  for (int i = 0; i < t.rank; ++i) {
    check<DeviceError>(t.size[i] >= 1 && t.size[i] <= int64_t{1} << 32, "tensor map: size {}: expected 1 to 2^32, got {}", i,
                       t.size[i]);
    check<DeviceError>(t.step[i] >= 1 && t.step[i] <= 8, "tensor map: step {}: expected 1 to 8, got {}", i, t.step[i]);
    if (i + 1 < t.rank)
      check<DeviceError>(t.stride[i] > 0 && t.stride[i] % 16 == 0 && t.stride[i] < int64_t{1} << 40,
                         "tensor map: stride {}: expected a multiple of 16 below 2^40, got {}", i + 1, t.stride[i]);
  }
  check<DeviceError>(row_bytes % 16 == 0, "tensor map: rows of a box: expected a multiple of 16 bytes, got {}", row_bytes);
  // The driver allows shorter rows too; how they then lie in shared memory nobody here has seen.
  check<DeviceError>(t.swizzle == Swizzle::none || row_bytes == swizzle_bytes(t.swizzle),
                     "tensor map: rows of a swizzled box: expected {} bytes, got {}", swizzle_bytes(t.swizzle), row_bytes);
}

// What one instruction moves: rows of the box in the order of shared memory. row(i): the first element in global memory, and how
// many of its elements, from `skip` on, lie inside the tensor.
struct Row {
  const std::byte* global = nullptr;
  int skip = 0, inside = 0;
};
struct Box {
  TensorMap map;
  Coordinates at;

  int bytes() const { return map.rows() * map.row_bytes(); }
  Row row(int i) const {
    const TiledTensor& t = map.tensor;
    int64_t c[5];
    const int elements = map.row_bytes() / map.element_bytes();
    if (map.im2col) {  // pixel i in the box of all pixels, then the offset
      const int spatial = t.rank - 2;
      int64_t carry = i;
      c[0] = at.at[0];
      for (int d = 0; d < spatial; ++d) {
        const int64_t low = map.lower[d], high = t.size[1 + d] - 1 + map.upper[d], step = t.step[1 + d];
        const int64_t start = at.at[1 + d] - low, length = (high - low) / step + 1, place = start / step + carry;
        c[1 + d] = low + start % step + place % length * step + at.at[t.rank + d];
        carry = place / length;
      }
      c[1 + spatial] = at.at[1 + spatial] + carry;
    } else {
      c[0] = at.at[0];
      for (int d = 1; d < t.rank; ++d) {
        const int n = (t.box[d] + t.step[d] - 1) / t.step[d];
        c[d] = at.at[d] + int64_t{i % n} * t.step[d];
        i /= n;
      }
    }
    for (int d = 1; d < t.rank; ++d)
      if (c[d] < 0 || c[d] >= t.size[d]) return {};
    const int64_t begin = std::max<int64_t>(c[0], 0), end = std::min(c[0] + elements, t.size[0]);
    if (begin >= end) return {};
    int64_t offset = begin * map.element_bytes();
    for (int d = 1; d < t.rank; ++d) offset += c[d] * t.stride[d - 1];
    return {static_cast<const std::byte*>(t.data) + offset, int(begin - c[0]), int(end - begin)};
  }
  // Copies 16 bytes of row i between a linear row and its swizzled place.
  std::byte* chunk(std::byte* shared, int i, int k) const {
    const uintptr_t linear = reinterpret_cast<uintptr_t>(shared) + uintptr_t(i) * uintptr_t(map.row_bytes()) + uintptr_t(k) * 16;
    return shared + (swizzled(uint32_t(linear), map.tensor.swizzle) - uint32_t(reinterpret_cast<uintptr_t>(shared)));
  }
};

struct Store {
  Box box;
  std::byte* shared;
  const void* pc;
  uint32_t operation;
};
struct Stores {
  std::vector<Store> open;
  std::deque<std::vector<Store>> groups;
};
std::unordered_map<int, Stores> stores;  // of the threads that have any

void check_box(const char* what, const Box& box, const void* shared, const void* pc) {
  Executor& e = executor();
  const TiledTensor& t = box.map.tensor;
  const int align = swizzle_alignment(t.swizzle), expected = t.rank + (box.map.im2col ? t.rank - 2 : 0);
  if (box.at.n != expected)
    e.fail(fmt::format("{} at {}: expected {} coordinates and offsets for this map, got {}", what, place(pc), expected, box.at.n));
  const auto p = e.place_of(shared);
  if (p.rank != e.rank() || p.at + size_t(box.bytes()) > kDynamicStart + kSharedLimit)
    e.fail(fmt::format("{} at {}: expected shared memory of the block", what, place(pc)));
  if (reinterpret_cast<uintptr_t>(shared) % uintptr_t(align))
    e.fail(fmt::format("misaligned {} at {}: shared memory {} is no multiple of {}{}", what, place(pc), shared, align,
                       t.swizzle == Swizzle::none ? "" : ", where the pattern of its swizzle begins"));
  if (int64_t{box.at.at[0]} * box.map.element_bytes() % 16)  // an H100: "an illegal instruction was encountered"
    e.fail(fmt::format("illegal {} at {}: expected coordinate 0 at a multiple of 16 bytes, got {} elements of {}", what, place(pc),
                       box.at.at[0], box.map.element_bytes()));
  if (!box.map.im2col) return;
  for (int d = 0; d < t.rank - 2; ++d)
    if (box.at.at[1 + d] < box.map.lower[d] || box.at.at[1 + d] > t.size[1 + d] - 1 + box.map.upper[d])
      e.fail(fmt::format("{} at {}: im2col starts outside of the box of pixels: expected {} to {}, got {}", what, place(pc),
                         box.map.lower[d], t.size[1 + d] - 1 + box.map.upper[d], box.at.at[1 + d]));
}

// Marks or frees the box in shared memory.
template <class F>
void each_chunk(const void* shared, int bytes, F f) {
  Executor& e = executor();
  MemoryCheck::Place p = e.place_of(shared);
  for (int i = 0; i < bytes; i += 16, p.at += 16) f(e.in_flight_at(p));
}

void deliver(const Box& box, std::byte* shared) {
  each_chunk(shared, box.bytes(), [](InFlight& f) { f = {}; });
  std::vector<std::byte> line(size_t(box.map.row_bytes()));
  for (int i = 0, rows = box.map.rows(); i < rows; ++i) {
    std::fill(line.begin(), line.end(), std::byte{0});
    const Row r = box.row(i);
    const size_t element = size_t(box.map.element_bytes());
    if (r.inside) std::memcpy(line.data() + size_t(r.skip) * element, r.global, size_t(r.inside) * element);
    for (int k = 0; k < box.map.row_bytes() / 16; ++k) std::memcpy(box.chunk(shared, i, k), line.data() + 16 * k, 16);
  }
}

void perform(const Store& s) {
  Executor& e = executor();
  each_chunk(s.shared, s.box.bytes(), [](InFlight& f) { --f.reads; });
  const int agent = e.memory.agent(e.rank(), kTmaStores);
  const MemoryCheck::Clock known = options().check_memory ? e.memory.known(e.current, 1) : MemoryCheck::Clock{};
  std::vector<std::byte> line(size_t(s.box.map.row_bytes()));
  for (int i = 0, rows = s.box.map.rows(); i < rows; ++i) {
    const Row r = s.box.row(i);
    if (!r.inside) continue;
    const size_t element = size_t(s.box.map.element_bytes()), bytes = size_t(r.inside) * element;
    for (int k = 0; k < s.box.map.row_bytes() / 16; ++k) std::memcpy(line.data() + 16 * k, s.box.chunk(s.shared, i, k), 16);
    if (options().check_memory) e.check_access(r.global, bytes, true, false, agent, &known, s.pc, nullptr);
    std::memcpy(const_cast<std::byte*>(r.global), line.data() + size_t(r.skip) * element, bytes);
  }
  if (options().check_memory) e.memory.learn(e.current, agent, s.operation);
}

}  // namespace

TensorMap tensor_map(const TiledTensor& t) {
  check<DeviceError>(t.rank >= 1 && t.rank <= 5, "tensor map: rank: expected 1 to 5, got {}", t.rank);
  TensorMap map{t, false, {}, {}, 0, 0};
  for (int i = 0; i < t.rank; ++i)
    check<DeviceError>(t.box[i] >= 1 && t.box[i] <= 256, "tensor map: box {}: expected 1 to 256, got {}", i, t.box[i]);
  check_common(t, map.row_bytes());
  return map;
}

TensorMap tensor_map(const Im2colTensor& t) {
  check<DeviceError>(t.rank >= 3 && t.rank <= 5, "tensor map: rank of im2col: expected 3 to 5, got {}", t.rank);
  check<DeviceError>(t.channels >= 1 && t.channels <= 256, "tensor map: channels: expected 1 to 256, got {}", t.channels);
  check<DeviceError>(t.pixels >= 1 && t.pixels <= 1024, "tensor map: pixels: expected 1 to 1024, got {}", t.pixels);
  TensorMap map{{t.data, t.dtype, t.rank, {}, {}, {}, t.swizzle}, true, {}, {}, t.channels, t.pixels};
  std::copy_n(t.size, 5, map.tensor.size);
  std::copy_n(t.stride, 4, map.tensor.stride);
  std::copy_n(t.step, 5, map.tensor.step);
  const int limit = t.rank == 3 ? 32768 : t.rank == 4 ? 128 : 16;
  for (int i = 0; i < t.rank - 2; ++i) {
    for (int corner : {t.lower[i], t.upper[i]})
      check<DeviceError>(corner >= -limit && corner < limit, "tensor map: corner {} of pixels: expected {} to {}, got {}", i,
                         -limit, limit - 1, corner);
    check<DeviceError>(t.lower[i] <= t.size[1 + i] - 1 + t.upper[i], "tensor map: dimension {} has no pixels from {} to {}", 1 + i,
                       t.lower[i], t.size[1 + i] - 1 + t.upper[i]);
    map.lower[i] = t.lower[i], map.upper[i] = t.upper[i];
  }
  check_common(map.tensor, map.row_bytes());
  return map;
}

void reset_tma() { stores.clear(); }

void tma_load_box(void* shared, const TensorMap& map, uint64_t* mbarrier, uint16_t mask, Coordinates at, const void* pc) {
  Pause pause;
  Executor& e = executor();
  const Box box{map, at};
  check_box("TMA load", box, shared, pc);
  if (!mask || mask >> e.ranks)
    e.fail(fmt::format("TMA load at {}: expected a mask of blocks of the cluster, {}, got {:#x}", place(pc), e.ranks, mask));
  const auto p = e.place_of(shared), b = e.place_of(mbarrier);
  if (b.rank != e.rank()) e.fail(fmt::format("TMA load at {}: expected an mbarrier of the block", place(pc)));
  const int agent = e.memory.agent(e.rank(), kTmaLoads);
  uint32_t operation = 0;
  MemoryCheck::Clock known;
  if (options().check_memory) {
    operation = e.memory.next_operation(agent);
    known = e.memory.known(e.current, 1);
    for (int i = 0, rows = map.rows(); i < rows; ++i)
      if (const Row r = box.row(i); r.inside)
        e.check_access(r.global, size_t(r.inside) * size_t(map.element_bytes()), false, false, agent, &known, pc, nullptr);
  }
  for (int r = 0; r < e.ranks; ++r) {
    if (!(mask >> r & 1)) continue;
    std::byte* const to = e.window(r) + p.at;
    if (options().check_memory) e.check_access(to, size_t(box.bytes()), true, false, agent, &known, pc, nullptr);
    mbarrier_expect_delivery(e.window(r) + b.at, {box.bytes(), pc, e.current, agent, operation, [box, to] { deliver(box, to); }});
    each_chunk(to, box.bytes(), [&](InFlight& f) { f = {pc, e.current, true, 0}; });
    std::memset(to, 0xFF, size_t(box.bytes()));
  }
}

void tma_store_box(const TensorMap& map, const void* shared, Coordinates at, const void* pc) {
  Pause pause;
  Executor& e = executor();
  const Box box{map, at};
  check_box("TMA store", box, shared, pc);
  if (map.im2col) e.fail(fmt::format("TMA store at {}: expected a map of tiles, got one of im2col", place(pc)));
  const int agent = e.memory.agent(e.rank(), kTmaStores);
  uint32_t operation = 0;
  if (options().check_memory) {
    operation = e.memory.next_operation(agent);
    const auto known = e.memory.known(e.current, 1);
    e.check_access(shared, size_t(box.bytes()), false, false, agent, &known, pc, nullptr);
  }
  each_chunk(shared, box.bytes(), [&](InFlight& f) { f.pc = pc, f.thread = e.current, ++f.reads; });
  stores[e.current].open.push_back({box, static_cast<std::byte*>(const_cast<void*>(shared)), pc, operation});
}

void tma_store_commit() {
  Stores& s = stores[executor().current];
  s.groups.push_back(std::exchange(s.open, {}));
}

void tma_store_wait_groups(int pending) {
  Pause pause;
  Stores& s = stores[executor().current];
  for (; int(s.groups.size()) > pending; s.groups.pop_front())
    for (const Store& store : s.groups.front()) perform(store);
}

void tma_exit() {
  const auto found = stores.find(executor().current);
  if (found == stores.end()) return;
  Stores& s = found->second;
  s.groups.push_back(std::exchange(s.open, {}));
  for (const auto& group : s.groups)
    if (!group.empty())
      executor().fail(
          fmt::format("it exits while the TMA store at {} may still read shared memory: expected tma_store_commit() and "
                      "tma_store_wait_read<0>()",
                      place(group.front().pc)));
}

}  // namespace graft::emu
