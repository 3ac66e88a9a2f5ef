// A driver without a GPU: device memory is host memory, and what is put on a stream runs late, streams in any order that
// events allow. What the runtime forgets to order shows as wrong bytes.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "kernels/common/philox.h"
#include "kernels/runtime/cuda/driver.h"

namespace graft::harness {

class FakeGpu : public cuda::Driver {
 public:
  enum class Mode { late, at_once };  // at_once: for tests of what stands above, whose kernels run on the host
  explicit FakeGpu(size_t capacity, Mode mode = Mode::late, uint64_t seed = 1)
      : capacity_(capacity), mode_(mode), random_{seed, 0} {}
  ~FakeGpu() override;

  void submit(void* stream, std::function<void()> work);  // a kernel
  size_t segments() const { return memory_.size(); }
  bool holds(const void* p) const;  // inside device memory

  cuda::DeviceInfo info() override { return {"fake GPU", 0, 0, 1, capacity_, 0, 0}; }
  void make_current() override {}
  void* allocate(size_t bytes) override;
  void release(void*) override;
  size_t free_bytes() override { return capacity_ - used_; }
  void* allocate_pinned(size_t bytes) override;
  void release_pinned(void*) override;
  void copy(void* to, const void* from, size_t bytes, void* stream) override;
  void fill(void* to, const void* value, size_t value_bytes, int64_t n, void* stream) override;
  void synchronize() override;
  void* create_stream() override { return reinterpret_cast<void*>(++handles_); }
  void destroy_stream(void* s) override;
  void* create_event() override;
  void destroy_event(void*) override;
  void record(void* event, void* stream) override;
  void wait(void* stream, void* event) override;
  void finish(void* event) override;
  double milliseconds(void*, void*) override { return 1; }
  void begin_capture(void* stream) override;
  void* end_capture(void* stream) override;
  void launch_graph(void* graph, void* stream) override;
  void destroy_graph(void*) override;

 private:
  using Moment = std::shared_ptr<bool>;  // whether it has come
  struct Work {
    Moment after;  // null: at once
    std::function<void()> run;
  };
  struct Graph {
    std::vector<std::function<void()>> work;
  };
  void step();  // some stream does its next piece of work

  const size_t capacity_;
  const Mode mode_;
  const Philox random_;
  uint64_t draws_ = 0;
  size_t used_ = 0;
  uintptr_t handles_ = 0;
  std::map<std::byte*, size_t> memory_, pinned_;
  std::map<void*, std::deque<Work>> streams_;
  std::map<void*, std::unique_ptr<Graph>> captures_;
};

}  // namespace graft::harness
