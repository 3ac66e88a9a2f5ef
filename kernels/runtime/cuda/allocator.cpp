#include "kernels/runtime/cuda/allocator.h"

#include <atomic>

namespace graft::cuda {
namespace {

constexpr size_t kUnit = 512, kSmall = size_t{1} << 20, kSmallSegment = size_t{2} << 20;
constexpr size_t kLargeSegment = size_t{20} << 20, kLargeUnit = size_t{2} << 20;

std::atomic<bool> poison{false};

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

std::string amount(size_t bytes) {
  if (bytes < (size_t{1} << 20)) return fmt::format("{} bytes", bytes);
  return bytes < (size_t{1} << 30) ? fmt::format("{:.1f} MiB", double(bytes) / double(1 << 20))
                                   : fmt::format("{:.2f} GiB", double(bytes) / double(1 << 30));
}

}  // namespace

void Allocator::set_poison(bool on) { poison = on; }

Allocator::~Allocator() {
  std::set<Block*> all;
  for (auto& [p, b] : used_) all.insert(b);
  for (auto& [graph, blocks] : kept_) all.insert(blocks.begin(), blocks.end());
  for (auto& [key, pool] : pools_)
    for (auto& list : pool.free) all.insert(list.begin(), list.end());
  for (Block* b : all)
    if (!b->previous) driver_.release(b->data);
  for (Block* b : all) delete b;
}

Allocator::Pool& Allocator::pool(int64_t graph, void* stream) {
  return pools_.try_emplace({graph, stream}, Pool{stream, graph, {}}).first->second;
}

int64_t Allocator::graph_of(void* stream) const {
  const auto found = captures_.find(stream);
  return found == captures_.end() ? 0 : found->second;
}

Allocator::Block* Allocator::take_free(Pool& pool, size_t bytes, bool small) {
  auto& list = pool.free[small];
  Block wanted{nullptr, bytes, nullptr, small, true};
  const auto found = list.lower_bound(&wanted);
  if (found == list.end()) return nullptr;
  Block* b = *found;
  list.erase(found);
  b->free = false;
  return b;
}

void* Allocator::segment_from_driver(size_t bytes) {
  ++stats_.driver_calls;
  void* p = driver_.allocate(bytes);
  if (!p && captures_.empty()) {  // giving back waits for the device, which a capture forbids
    release_free_segments();
    ++stats_.driver_calls;
    p = driver_.allocate(bytes);
  }
  return p;
}

Allocator::Block* Allocator::new_segment(Pool& pool, size_t bytes, bool small) {
  size_t segment = small ? kSmallSegment : std::max(kLargeSegment, round_up(bytes, kLargeUnit));
  void* p = segment_from_driver(segment);
  if (!p && !small && segment > bytes) p = segment_from_driver(segment = bytes);  // as much as is needed, and no more
  if (!p)
    throw OutOfMemory(fmt::format("cuda: out of memory: asked for {}, in use {}, cached {}, free on the device {}", amount(bytes),
                                  amount(stats_.in_use), amount(stats_.cached()), amount(driver_.free_bytes())));
  stats_.reserved += segment;
  return new Block{static_cast<std::byte*>(p), segment, &pool, small, false};
}

void Allocator::split(Block* b, size_t bytes) {
  const size_t rest = b->bytes - bytes;
  if (rest == 0 || (!b->small && rest <= kSmall)) return;  // so little serves no large block
  Block* r = new Block{b->data + bytes, rest, b->pool, b->small, true, b, b->next};
  if (r->next) r->next->previous = r;
  b->next = r;
  b->bytes = bytes;
  b->pool->free[b->small].insert(r);
}

void* Allocator::allocate(size_t bytes, void* stream) {
  if (bytes == 0) return nullptr;
  std::lock_guard lock(mutex_);
  bytes = round_up(bytes, kUnit);
  const bool small = bytes <= kSmall;
  Pool& from = pool(graph_of(stream), stream);
  Block* b = take_free(from, bytes, small);
  if (!b) b = new_segment(from, bytes, small);
  split(b, bytes);
  used_[b->data] = b;
  stats_.in_use += b->bytes;
  stats_.peak = std::max(stats_.peak, stats_.in_use);
  ++stats_.blocks;
  const uint32_t nan = 0xffffffff;
  if (poison) driver_.fill(b->data, &nan, sizeof nan, int64_t(b->bytes / sizeof nan), stream);
  return b->data;
}

void Allocator::order(void* before, void* after) {
  void* event = driver_.create_event();
  driver_.record(event, before);
  driver_.wait(after, event);
  driver_.destroy_event(event);  // CUDA keeps what was recorded until it has happened
}

void Allocator::deallocate(void* p, void* stream) {
  if (!p) return;
  std::lock_guard lock(mutex_);
  const auto found = used_.find(p);
  check<InternalError>(found != used_.end(), "cuda: {} was not allocated here, or is freed twice", p);
  Block* b = found->second;
  used_.erase(found);
  stats_.in_use -= b->bytes;
  --stats_.blocks;
  if (const int64_t graph = graph_of(stream); graph && b->pool->graph != graph) return kept_[graph].push_back(b);
  if (!b->pool->graph && b->pool->stream != stream) order(stream, b->pool->stream);
  give_back(b);
}

// Into the free list of its pool, joined with its free neighbours.
void Allocator::give_back(Block* b) {
  auto& list = b->pool->free[b->small];
  const auto absorb = [&](Block* left, Block* right) {
    left->bytes += right->bytes;
    left->next = right->next;
    if (left->next) left->next->previous = left;
    delete right;
  };
  if (b->next && b->next->free) {
    list.erase(b->next);
    absorb(b, b->next);
  }
  if (b->previous && b->previous->free) {
    Block* left = b->previous;
    list.erase(left);
    absorb(left, b);
    b = left;
  }
  b->free = true;
  list.insert(b);
}

void Allocator::release_free_segments() {
  for (auto& [key, pool] : pools_) {
    if (pool.graph) continue;
    for (auto& list : pool.free)
      std::erase_if(list, [&](Block* b) {
        if (b->previous || b->next) return false;
        driver_.release(b->data);
        ++stats_.driver_calls;
        stats_.reserved -= b->bytes;
        delete b;
        return true;
      });
  }
}

void Allocator::release_cached() {
  std::lock_guard lock(mutex_);
  check<DeviceError>(captures_.empty(), "cuda: memory cannot be given back while a graph is recorded");
  release_free_segments();
}

AllocatorStats Allocator::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void Allocator::reset_peak() {
  std::lock_guard lock(mutex_);
  stats_.peak = stats_.in_use;
}

int64_t Allocator::begin_capture(void* stream) {
  std::lock_guard lock(mutex_);
  if (captures_.empty()) release_free_segments();  // the graph cannot have what an eager step has left
  check<DeviceError>(captures_.emplace(stream, graphs_ + 1).second, "cuda: a graph is being recorded on this stream already");
  return ++graphs_;
}

void Allocator::end_capture(void* stream) {
  std::lock_guard lock(mutex_);
  captures_.erase(stream);
}

bool Allocator::capturing(void* stream) const {
  std::lock_guard lock(mutex_);
  return graph_of(stream) != 0;
}

void Allocator::release_graph(int64_t graph) {
  driver_.synchronize();  // afterwards any stream may have the graph's memory
  std::lock_guard lock(mutex_);
  Pool& heir = pool(0, nullptr);
  for (auto p = pools_.begin(); p != pools_.end();) {
    if (p->first.first != graph) {
      ++p;
      continue;
    }
    for (int small : {0, 1})
      for (Block* b : p->second.free[small]) b->pool = &heir, heir.free[small].insert(b);
    for (auto& [data, b] : used_)
      if (b->pool == &p->second) b->pool = &heir;
    for (auto& [other, blocks] : kept_)
      for (Block* b : blocks)
        if (b->pool == &p->second) b->pool = &heir;
    p = pools_.erase(p);
  }
  for (Block* b : kept_[graph]) give_back(b);
  kept_.erase(graph);
}

void Allocator::check_invariants() const {
  std::lock_guard lock(mutex_);
  size_t used = 0, free = 0, kept = 0;
  const auto neighbours = [](const Block* b) {
    check<InternalError>(b->bytes > 0 && b->bytes % kUnit == 0, "allocator: a block of {} bytes", b->bytes);
    if (b->next)
      check<InternalError>(b->next->previous == b && b->next->data == b->data + b->bytes && b->next->pool == b->pool,
                           "allocator: neighbours do not touch");
    check<InternalError>(!(b->free && b->next && b->next->free), "allocator: two free neighbours");
  };
  for (auto& [p, b] : used_) {
    neighbours(b);
    check<InternalError>(p == b->data && !b->free, "allocator: a free block is in use");
    used += b->bytes;
  }
  for (auto& [key, pool] : pools_)
    for (auto& list : pool.free)
      for (const Block* b : list) {
        neighbours(b);
        check<InternalError>(b->free && b->pool == &pool, "allocator: a block in the list of another pool");
        free += b->bytes;
      }
  for (auto& [graph, blocks] : kept_)
    for (const Block* b : blocks) kept += b->bytes;
  check<InternalError>(used == stats_.in_use && used + free + kept == stats_.reserved,
                       "allocator: {} in use, {} free and {} kept of {}", used, free, kept, stats_.reserved);
}

}  // namespace graft::cuda
