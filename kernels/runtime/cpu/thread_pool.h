// The one thread pool for compute. Work is cut into tasks by shape, never by the number of threads, so results do not
// depend on it; threads only decide who runs a task.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace graft {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // counts the caller: 1 starts no thread
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

  int size() const { return int(workers_.size()) + 1; }

  // Runs f(task, worker) for every task in [0, tasks), worker in [0, size()). Returns when all are done; rethrows the
  // first exception. A call from inside a task, or while another thread uses the pool, runs on the calling thread.
  template <class F>
  void parallel_for(int64_t tasks, F&& f) {
    run(
        tasks, [](void* self, int64_t task, int worker) { (*static_cast<std::remove_reference_t<F>*>(self))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

  // Cuts [0, n) into pieces of `grain` and runs f(begin, end) on each.
  template <class F>
  void parallel_range(int64_t n, int64_t grain, F&& f) {
    const int64_t tasks = (n + grain - 1) / grain;
    parallel_for(tasks, [&](int64_t t, int) { f(t * grain, t * grain + grain < n ? t * grain + grain : n); });
  }

 private:
  using Task = void (*)(void*, int64_t, int);
  void run(int64_t tasks, Task, void* self);
  void work(int worker);
  void worker_loop(int worker);

  // The job in flight. Fields are written only while the gate is closed.
  Task task_ = nullptr;
  void* self_ = nullptr;
  int64_t tasks_ = 0;
  std::atomic<int64_t> next_{0};
  std::exception_ptr error_;
  std::mutex error_mutex_;

  static constexpr int kClosed = -(1 << 20);
  std::atomic<int> gate_{kClosed};  // kClosed + visitors when closed, number of threads at work when open
  std::atomic<uint32_t> epoch_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::mutex job_mutex_;
  std::vector<std::thread> workers_;
};

ThreadPool& default_pool();  // GRAFT_THREADS threads, else one per core

}  // namespace graft
