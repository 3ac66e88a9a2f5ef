#include "bench/device.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "kernels/common/error.h"
#include "kernels/runtime/cpu/memory.h"
#include "kernels/runtime/cpu/target.h"

namespace graft::bench {
namespace {

auto& makers() {
  static std::map<Backend, std::unique_ptr<Device> (*)(int)> m;
  return m;
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

// sysconf knows the cache of a whole package, of which a core may reach a part; the kernel knows the part.
int64_t last_level_cache() {
  int64_t largest = 0;
  for (int i = 0; i < 6; ++i) {
    int64_t kib = 0;
    std::ifstream("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/size") >> kib;
    largest = std::max(largest, kib << 10);
  }
  return largest ? largest : int64_t{32} << 20;
}

// How often the system has taken a thread of this process off its core for another process.
int64_t preemptions() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  return use.ru_nivcsw;
}

class Cpu : public Device {
 public:
  explicit Cpu(int threads)
      : context_(threads ? threads : default_pool().size()), flush_(size_t(2 * last_level_cache()) / 4, 1.0f) {}

  Backend backend() const override { return Backend::cpu; }
  std::string model() const override { return processor(); }
  std::string target() const override { return std::string(cpu::target()); }
  std::string driver() const override {
    utsname u{};
    uname(&u);
    return std::string(u.sysname) + " " + u.release;
  }
  Context& context() override { return context_; }

  Roofline roofline() override {
    Roofline r;
    r.gflops = fma_peak(context_.pool().size());
    r.bandwidths = bandwidths(context_.pool(), 4 * last_level_cache());
    r.memory_gbs = r.bandwidths.back().gbs;
    return r;
  }
  Sensors sensors() override { return {NAN, NAN, NAN}; }

  void* allocate(size_t bytes) override { return cpu::allocate(bytes); }
  void deallocate(void* p, size_t bytes) override { cpu::deallocate(p, bytes); }
  void write(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void read(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void wait() override {}

  Timing time(const Candidate& c, std::vector<void*>& args, int calls, Cache cache) override {
    if (cache == Cache::cold) flush();
    // Threads of the candidate before may still spin for work: asleep now. And who has just slept gets a whole time slice.
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    c.wake ? c.wake() : wake();
    if (cache == Cache::hot) c.run(args);
    const int64_t switches = preemptions();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) c.run(args);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return {seconds / calls, preemptions() != switches};
  }

 private:
  // Every core writes its share of twice the last-level cache, and so empties its own caches too.
  void flush() {
    context_.pool().parallel_range(int64_t(flush_.size()), int64_t{1} << 20, [this](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) flush_[size_t(i)] += 1.0f;
    });
  }

  void wake() {
    context_.pool().parallel_for(context_.pool().size(), [](int64_t, int) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
      while (std::chrono::steady_clock::now() < until) {
      }
    });
  }

  Context context_;
  std::vector<float> flush_;
};

const RegisterDevice registered(Backend::cpu,
                                [](int threads) -> std::unique_ptr<Device> { return std::make_unique<Cpu>(threads); });

}  // namespace

RegisterDevice::RegisterDevice(Backend backend, std::unique_ptr<Device> (*make)(int)) { makers()[backend] = make; }

std::unique_ptr<Device> make_device(Backend backend, int threads) {
  check<DeviceError>(makers().count(backend), "bench: no device {} in this build: expected cpu{}", name(backend),
                     backend == Backend::cuda ? " (cuda needs a build with GRAFT_CUDA=ON)" : "");
  return makers()[backend](threads);
}

}  // namespace graft::bench
