// Where kernels are timed: its memory, its clock, its caches. One file per device; a device registers itself where it is
// compiled.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/roofline.h"

namespace graft::bench {

// cold: no argument is in a cache when a call begins. hot: the call before had the same arguments.
enum class Cache { cold, hot };
inline constexpr Cache kCaches[] = {Cache::cold, Cache::hot};
constexpr std::string_view name(Cache c) { return c == Cache::cold ? "cold" : "hot"; }

// Of one sample. disturbed: a thread was taken off its core, or the clock was throttled, while it was taken.
struct Timing {
  double seconds;
  bool disturbed = false;
};

// What is timed: graft's kernel, one of its versions, or another library's.
struct Candidate {
  std::string engine;  // "graft", "openblas 0.3.21"
  int version = 0;     // of graft's ladder; 0: the default
  std::string version_name = {};
  bool by_request = false;  // rounds its inputs to fewer bits than its dtype has
  std::function<void(std::vector<void*>& args)> run = {};
  std::function<void()> wake = {};  // wakes its threads, where they are not those of the device's context
  // Where it runs in a process of its own: as Device::time.
  std::function<Timing(int calls, Cache)> time = {};
  std::vector<size_t> skips = {};  // output arguments that another library does not make (statistics for a backward pass)
  std::string verified = {};       // against what its outputs were compared
};

struct Sensors {  // NaN: not known
  double clock_mhz, power_w, temperature_c;
  bool throttled = false;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual Backend backend() const = 0;
  virtual std::string model() const = 0;   // "AMD EPYC 9454", "NVIDIA H100 80GB HBM3"
  virtual std::string target() const = 0;  // instruction set: "AVX3", "sm_90"
  virtual std::string driver() const = 0;  // "Linux 6.1.0", "CUDA 13.0, driver 580.82"
  virtual Context& context() = 0;
  virtual Roofline roofline() = 0;
  virtual Sensors sensors() = 0;

  // Memory that kernels read and write; sizes in bytes.
  virtual void* allocate(size_t) = 0;
  virtual void deallocate(void*, size_t) = 0;
  virtual void write(void* to, const void* from, size_t) = 0;
  virtual void read(void* to, const void* from, size_t) = 0;
  virtual void wait() = 0;  // for everything launched; Error where a kernel failed

  // Of one call, the mean of `calls` back to back (1 where cold).
  virtual Timing time(const Candidate&, std::vector<void*>& args, int calls, Cache) = 0;
};

std::unique_ptr<Device> make_device(Backend, int threads);  // DeviceError where this build or machine has none

struct RegisterDevice {
  RegisterDevice(Backend, std::unique_ptr<Device> (*make)(int threads));
};

}  // namespace graft::bench
