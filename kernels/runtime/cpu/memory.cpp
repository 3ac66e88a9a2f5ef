#include "kernels/runtime/cpu/memory.h"

#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/common/context.h"
#include "kernels/common/error.h"

namespace graft::cpu {
namespace {

constexpr size_t kKeptBytes = size_t{2} << 30;  // at most this much stays in the free lists

struct FreeLists {
  std::mutex mutex;
  std::unordered_map<size_t, std::vector<void*>> by_size;
  size_t bytes = 0;
};
FreeLists& lists() {
  static FreeLists* l = new FreeLists;  // never destroyed: tensors with static lifetime free after main
  return *l;
}
std::atomic<bool> poison{false};

// Eight size classes per power of two: at most 12.5 % is wasted.
size_t size_class(size_t bytes) {
  const size_t n = std::max<size_t>(bytes, 64);
  const size_t step = std::max<size_t>(64, std::bit_floor(n) / 8);
  return (n + step - 1) / step * step;
}

}  // namespace

void* allocate(size_t bytes) {
  const size_t n = size_class(bytes);
  void* p = nullptr;
  {
    auto& l = lists();
    std::lock_guard lock(l.mutex);
    auto& list = l.by_size[n];
    if (!list.empty()) {
      p = list.back();
      list.pop_back();
      l.bytes -= n;
    }
  }
  if (!p) p = std::aligned_alloc(64, n);
  check<Error>(p, "memory: the system refused {} bytes", bytes);
  if (poison.load(std::memory_order_relaxed)) std::memset(p, 0xFF, n);
  return p;
}

void deallocate(void* p, size_t bytes) {
  if (!p) return;
  const size_t n = size_class(bytes);
  auto& l = lists();
  std::unique_lock lock(l.mutex);
  if (l.bytes + n > kKeptBytes) {
    lock.unlock();
    std::free(p);
    return;
  }
  l.by_size[n].push_back(p);
  l.bytes += n;
}

void release_cached() {
  auto& l = lists();
  std::lock_guard lock(l.mutex);
  for (auto& [n, list] : l.by_size)
    for (void* p : list) std::free(p);
  l.by_size.clear();
  l.bytes = 0;
}

void set_poison(bool on) { poison = on; }

}  // namespace graft::cpu

namespace graft {

Workspace::~Workspace() {
  for (auto& b : blocks_) cpu::deallocate(b.data, b.bytes);
}

std::byte* Workspace::push(size_t bytes) {
  if (depth_ == blocks_.size()) blocks_.push_back({nullptr, 0});
  Block& b = blocks_[depth_++];
  if (b.bytes < bytes) {
    cpu::deallocate(b.data, b.bytes);
    b = {};
    b = {static_cast<std::byte*>(cpu::allocate(bytes)), bytes};
  } else if (cpu::poison) {
    std::memset(b.data, 0xFF, b.bytes);
  }
  return b.data;
}

void Workspace::pop() { --depth_; }

bool Workspace::holds(const void* p, size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(p);
  for (size_t i = 0; i < depth_; ++i)
    if (at >= blocks_[i].data && at + bytes <= blocks_[i].data + blocks_[i].bytes) return true;
  return false;
}

}  // namespace graft
