#include "tests/harness/fake_gpu.h"

#include <cstring>

#include "kernels/common/error.h"

namespace graft::harness {
namespace {

struct Event {
  std::shared_ptr<bool> recorded = std::make_shared<bool>(true);  // one that was never recorded has happened
};
Event& event_of(void* e) { return *static_cast<Event*>(e); }

}  // namespace

FakeGpu::~FakeGpu() {
  for (auto& [p, n] : memory_) ::operator delete[](p, std::align_val_t(512));
  for (auto& [p, n] : pinned_) delete[] p;
}

void* FakeGpu::allocate(size_t bytes) {
  if (used_ + bytes > capacity_) return nullptr;
  used_ += bytes;
  auto* p = static_cast<std::byte*>(::operator new[](bytes, std::align_val_t(512)));
  std::memset(p, 0xFF, bytes);
  memory_[p] = bytes;
  return p;
}

void FakeGpu::release(void* p) {
  check<DeviceError>(captures_.empty(), "fake: memory is given back while a graph is recorded");
  synchronize();
  const auto found = memory_.find(static_cast<std::byte*>(p));
  check<DeviceError>(found != memory_.end(), "fake: no such memory");
  used_ -= found->second;
  ::operator delete[](found->first, std::align_val_t(512));
  memory_.erase(found);
}

bool FakeGpu::holds(const void* p) const {
  auto next = memory_.upper_bound(const_cast<std::byte*>(static_cast<const std::byte*>(p)));
  if (next == memory_.begin()) return false;
  --next;
  return p < next->first + next->second;
}

void* FakeGpu::allocate_pinned(size_t bytes) {
  auto* p = new std::byte[bytes];
  pinned_[p] = bytes;
  return p;
}
void FakeGpu::release_pinned(void* p) {
  pinned_.erase(static_cast<std::byte*>(p));
  delete[] static_cast<std::byte*>(p);
}

void FakeGpu::submit(void* stream, std::function<void()> work) {
  if (const auto c = captures_.find(stream); c != captures_.end()) return c->second->work.push_back(std::move(work));
  if (mode_ == Mode::at_once) return work();
  streams_[stream].push_back({nullptr, std::move(work)});
}

void FakeGpu::copy(void* to, const void* from, size_t bytes, void* stream) {
  submit(stream, [=] { std::memcpy(to, from, bytes); });
}
void FakeGpu::fill(void* to, const void* value, size_t value_bytes, int64_t n, void* stream) {
  const std::string v(static_cast<const char*>(value), value_bytes);
  submit(stream, [=] {
    for (int64_t i = 0; i < n; ++i) std::memcpy(static_cast<std::byte*>(to) + size_t(i) * value_bytes, v.data(), value_bytes);
  });
}

void FakeGpu::step() {
  std::vector<std::deque<Work>*> ready;
  for (auto& [stream, work] : streams_)
    if (!work.empty() && (!work.front().after || *work.front().after)) ready.push_back(&work);
  check<DeviceError>(!ready.empty(), "fake: streams wait for each other");
  auto& chosen = *ready[random_.below(draws_++, ready.size())];
  const Work w = std::move(chosen.front());
  chosen.pop_front();
  if (w.run) w.run();
}

void FakeGpu::synchronize() {
  const auto busy = [&] {
    for (auto& [stream, work] : streams_)
      if (!work.empty()) return true;
    return false;
  };
  while (busy()) step();
}

void FakeGpu::destroy_stream(void* s) {
  while (!streams_[s].empty()) step();
  streams_.erase(s);
}

void* FakeGpu::create_event() { return new Event; }
void FakeGpu::destroy_event(void* e) { delete &event_of(e); }
void FakeGpu::record(void* event, void* stream) {
  check<DeviceError>(!captures_.contains(stream), "fake: an event of a stream that is recorded");
  Moment now = event_of(event).recorded = std::make_shared<bool>(false);
  submit(stream, [now] { *now = true; });
}
void FakeGpu::wait(void* stream, void* event) {
  check<DeviceError>(!captures_.contains(stream), "fake: a stream that is recorded waits for another");
  if (mode_ == Mode::late) streams_[stream].push_back({event_of(event).recorded, {}});
}
void FakeGpu::finish(void* event) {
  while (!*event_of(event).recorded) step();
}

void FakeGpu::begin_capture(void* stream) {
  check<DeviceError>(stream, "fake: the default stream cannot be captured");
  captures_[stream] = std::make_unique<Graph>();
}
void* FakeGpu::end_capture(void* stream) {
  Graph* g = captures_.at(stream).release();
  captures_.erase(stream);
  return g;
}
void FakeGpu::launch_graph(void* graph, void* stream) {
  for (auto& w : static_cast<Graph*>(graph)->work) submit(stream, w);
}
void FakeGpu::destroy_graph(void* graph) { delete static_cast<Graph*>(graph); }

}  // namespace graft::harness
