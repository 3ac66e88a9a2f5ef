#include "kernels/runtime/cpu/thread_pool.h"

#include <immintrin.h>

#include <cstdlib>
#include <utility>

namespace graft {
namespace {

// Denormals cost a hundred cycles each and appear in decayed momentum; a kernel never sees them, whoever runs it.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
};

constexpr int kSpins = 2000;  // about 20-50 us: longer than the gap between two ops, shorter than a time slice

thread_local bool inside_task = false;

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int w = 1; w < threads; ++w) workers_.emplace_back([this, w] { worker_loop(w); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(sleep_mutex_);
    stop_ = true;
    ++epoch_;
  }
  wake_.notify_all();
  for (auto& t : workers_) t.join();
}

void ThreadPool::work(int worker) {
  inside_task = true;
  try {
    for (int64_t t; (t = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) task_(self_, t, worker);
  } catch (...) {
    std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
    next_ = tasks_;
  }
  inside_task = false;
}

void ThreadPool::run(int64_t tasks, Task task, void* self) {
  FlushDenormals flush;
  std::unique_lock job(job_mutex_, std::defer_lock);
  if (tasks <= 1 || workers_.empty() || inside_task || !job.try_lock()) {
    for (int64_t t = 0; t < tasks; ++t) task(self, t, 0);
    return;
  }
  task_ = task, self_ = self, tasks_ = tasks, error_ = nullptr;
  next_.store(0, std::memory_order_relaxed);
  gate_.fetch_sub(kClosed, std::memory_order_release);  // open: a worker that comes now sees the fields above
  epoch_.fetch_add(1);
  if (sleepers_.load() > 0) {
    {
      std::lock_guard lock(sleep_mutex_);
    }
    wake_.notify_all();
  }
  work(0);
  gate_.fetch_add(kClosed);  // a worker that comes later finds it closed and goes back
  for (int spin = 0; gate_.load(std::memory_order_acquire) != kClosed; ++spin)
    spin < kSpins ? _mm_pause() : std::this_thread::yield();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::worker_loop(int worker) {
  FlushDenormals flush;
  uint32_t seen = 0;
  while (true) {
    for (int spin = 0; epoch_.load(std::memory_order_acquire) == seen && spin < kSpins; ++spin) _mm_pause();
    if (epoch_.load() == seen) {
      std::unique_lock lock(sleep_mutex_);
      ++sleepers_;
      wake_.wait(lock, [&] { return epoch_.load() != seen; });
      --sleepers_;
    }
    seen = epoch_.load();
    if (stop_) return;
    if (gate_.fetch_add(1, std::memory_order_acquire) >= 0) work(worker);
    gate_.fetch_sub(1, std::memory_order_release);
  }
}

ThreadPool& default_pool() {
  static ThreadPool pool([] {
    const char* s = std::getenv("GRAFT_THREADS");
    const int n = s ? std::atoi(s) : int(std::thread::hardware_concurrency());
    return n > 0 ? n : 1;
  }());
  return pool;
}

}  // namespace graft
