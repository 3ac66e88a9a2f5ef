// A GPU. Cold calls follow a write of several times the L2 cache on the same stream; hot ones are replays of a graph of calls,
// so that launching costs nothing between them.
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>

#include "bench/device.h"
#include "bench/peak_cuda.h"
#include "kernels/common/error.h"

namespace graft::bench {
namespace {

void check_cuda(cudaError_t e, const char* what) {
  check<DeviceError>(e == cudaSuccess, "bench: cuda: {}: {}", what, cudaGetErrorString(e));
}

// The driver's management library, where it is there: clocks, power, and whether something slows the chip down.
class Management {
 public:
  Management() {
    void* handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return;
    const auto init = function<int()>(handle, "nvmlInit_v2");
    const auto by_bus = function<int(const char*, void**)>(handle, "nvmlDeviceGetHandleByPciBusId_v2");
    const auto driver = function<int(char*, unsigned)>(handle, "nvmlSystemGetDriverVersion");
    clock_ = function<int(void*, int, unsigned*)>(handle, "nvmlDeviceGetClockInfo");
    power_ = function<int(void*, unsigned*)>(handle, "nvmlDeviceGetPowerUsage");
    temperature_ = function<int(void*, int, unsigned*)>(handle, "nvmlDeviceGetTemperature");
    reasons_ = function<int(void*, unsigned long long*)>(handle, "nvmlDeviceGetCurrentClocksThrottleReasons");
    char text[96] = "";
    char bus[32] = "";  // its own numbers know nothing of CUDA_VISIBLE_DEVICES
    if (init && by_bus && cudaDeviceGetPCIBusId(bus, sizeof bus, 0) == cudaSuccess && init() == 0) {
      by_bus(bus, &device_);
      if (driver && driver(text, sizeof text) == 0) driver_ = text;
    }
  }
  const std::string& driver() const { return driver_; }
  Sensors read() const {
    Sensors s{NAN, NAN, NAN};
    unsigned value = 0;
    if (!device_) return s;
    if (clock_ && clock_(device_, 1 /* SM */, &value) == 0) s.clock_mhz = value;
    if (power_ && power_(device_, &value) == 0) s.power_w = value * 1e-3;
    if (temperature_ && temperature_(device_, 0, &value) == 0) s.temperature_c = value;
    s.throttled = throttled();
    return s;
  }
  // By heat or by a slow-down of the hardware. A power cap is not: a GPU at work runs into it.
  bool throttled() const {
    constexpr unsigned long long kHardware = 0x8, kSoftwareThermal = 0x20, kHardwareThermal = 0x40, kPowerBrake = 0x80;
    unsigned long long why = 0;
    return device_ && reasons_ && reasons_(device_, &why) == 0 &&
           (why & (kHardware | kSoftwareThermal | kHardwareThermal | kPowerBrake)) != 0;
  }

 private:
  template <class F>
  static F* function(void* handle, const char* name) {
    return reinterpret_cast<F*>(dlsym(handle, name));
  }
  void* device_ = nullptr;
  int (*clock_)(void*, int, unsigned*) = nullptr;
  int (*power_)(void*, unsigned*) = nullptr;
  int (*temperature_)(void*, int, unsigned*) = nullptr;
  int (*reasons_)(void*, unsigned long long*) = nullptr;
  std::string driver_;
};

class Gpu : public Device {
 public:
  Gpu() {
    int count = 0;
    const cudaError_t e = cudaGetDeviceCount(&count);
    check<DeviceError>(e == cudaSuccess && count > 0, "bench: no device: {}", cudaGetErrorString(e));
    check_cuda(cudaGetDeviceProperties(&properties_, 0), "properties");
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
    check_cuda(cudaEventCreate(&start_), "event"), check_cuda(cudaEventCreate(&end_), "event");
    context_.set_stream(stream_);
    flush_bytes_ = std::max(size_t{256} << 20, 4 * size_t(properties_.l2CacheSize));
    flush_ = allocate(flush_bytes_);
  }
  ~Gpu() override { cudaFree(flush_), cudaEventDestroy(start_), cudaEventDestroy(end_), cudaStreamDestroy(stream_); }

  Backend backend() const override { return Backend::cuda; }
  std::string model() const override { return properties_.name; }
  std::string target() const override { return fmt::format("sm_{}{}", properties_.major, properties_.minor); }
  std::string driver() const override {
    int version = 0;
    cudaRuntimeGetVersion(&version);
    return fmt::format("CUDA {}.{}, driver {}", version / 1000, version % 1000 / 10, management_.driver());
  }
  Context& context() override { return context_; }
  Sensors sensors() override { return management_.read(); }

  void* allocate(size_t bytes) override {
    void* p = nullptr;
    check_cuda(cudaMalloc(&p, std::max<size_t>(bytes, 1)), "memory");
    return p;
  }
  void deallocate(void* p, size_t) override { cudaFree(p); }
  void write(void* to, const void* from, size_t n) override {
    check_cuda(cudaMemcpy(to, from, n, cudaMemcpyDefault), "copy");
    check_cuda(cudaDeviceSynchronize(),
               "copy");  // from pageable memory it may still be on its way, and our stream waits for nobody
  }
  void read(void* to, const void* from, size_t n) override { check_cuda(cudaMemcpy(to, from, n, cudaMemcpyDefault), "copy"); }
  void wait() override { check_cuda(cudaStreamSynchronize(stream_), "kernel"); }

  Timing time(const Candidate& c, std::vector<void*>& args, int calls, Cache cache) override {
    double seconds = 0;
    if (cache == Cache::cold) {
      check_cuda(cudaMemsetAsync(flush_, 0, flush_bytes_, stream_), "flush");
      seconds = elapsed([&] {
        for (int i = 0; i < calls; ++i) c.run(args);
      });
    } else if (cudaGraphExec_t graph = record(c, args, calls)) {
      check_cuda(cudaGraphLaunch(graph, stream_), "graph");  // warms
      seconds = elapsed([&] { check_cuda(cudaGraphLaunch(graph, stream_), "graph"); });
      cudaGraphExecDestroy(graph);
    } else {  // a library that cannot be recorded
      c.run(args);
      seconds = elapsed([&] {
        for (int i = 0; i < calls; ++i) c.run(args);
      });
    }
    return {seconds / calls, management_.throttled()};
  }

  Roofline roofline() override {
    Roofline r;
    float* sink = static_cast<float*>(flush_);
    for (int i = 0; i < 20; ++i) {
      double flops = 0;
      const double s = elapsed([&] { flops = launch_fma(stream_, sink, properties_.multiProcessorCount); });
      r.gflops = std::max(r.gflops, flops / s * 1e-9);
    }
    // Beyond every cache: of the 50 MB of an H200's, arrays of 64 MB still lie there in part, and a copy of them is over in 13 us,
    // some of which is its launch.
    constexpr int64_t kLargest = int64_t{1} << 30, kLeast = int64_t{1} << 18;
    float* const arrays = static_cast<float*>(allocate(size_t(kLargest)));
    for (int64_t set : {int64_t(properties_.l2CacheSize) / 4, int64_t(properties_.l2CacheSize) * 2, kLargest})
      r.bandwidths.push_back({set, pass_gbs(arrays, set, Cache::hot)});
    for (int64_t bytes = kLeast; bytes <= kLargest; bytes *= 4) r.cold.push_back({bytes, pass_gbs(arrays, bytes, Cache::cold)});
    deallocate(arrays, size_t(kLargest));
    r.memory_gbs = r.cold.back().gbs = std::max(r.cold.back().gbs, r.bandwidths.back().gbs);
    r.tensor_gflops = nominal_tensor_gflops();
    return r;
  }

 private:
  template <class F>
  double elapsed(F f) {
    float ms = 0;
    check_cuda(cudaEventRecord(start_, stream_), "event");
    f();
    check_cuda(cudaEventRecord(end_, stream_), "event");
    check_cuda(cudaEventSynchronize(end_), "kernel");
    check_cuda(cudaEventElapsedTime(&ms, start_, end_), "event");
    return ms * 1e-3;
  }

  // The best of copies and triads that read and write so many bytes.
  double pass_gbs(float* arrays, int64_t bytes, Cache cache) {
    double best = 0;
    for (int i = 0; i < 10; ++i)
      for (int64_t count : {2, 3}) {
        const int64_t floats = bytes / (16 * count) * 4;
        if (cache == Cache::cold) check_cuda(cudaMemsetAsync(flush_, 0, flush_bytes_, stream_), "flush");
        double moved = 0;
        const double s = elapsed([&] {
          moved = count == 2 ? launch_copy(stream_, arrays, arrays + floats, floats)
                             : launch_triad(stream_, arrays, arrays + floats, arrays + 2 * floats, floats);
        });
        best = std::max(best, moved / s * 1e-9);
      }
    return best;
  }

  // Null where the calls cannot be captured.
  cudaGraphExec_t record(const Candidate& c, std::vector<void*>& args, int calls) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    if (cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed) != cudaSuccess) return nullptr;
    try {
      for (int i = 0; i < calls; ++i) c.run(args);
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      throw;
    }
    if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph) cudaGraphInstantiate(&ready, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();  // a failed capture is no failure of the run
    return ready;
  }

  // Dense bf16 with fp32 sums: flops of a multiprocessor and clock, by NVIDIA's architecture papers. tf32 does half.
  double nominal_tensor_gflops() const {
    int khz = 0;
    cudaDeviceGetAttribute(&khz, cudaDevAttrClockRate, 0);
    const int cc = properties_.major * 10 + properties_.minor;
    const double per_clock = cc >= 100 ? 8192 : cc == 90 ? 4096 : cc == 80 ? 2048 : 1024;
    return per_clock * properties_.multiProcessorCount * khz * 1e-6;
  }

  Management management_;
  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  cudaEvent_t start_ = nullptr, end_ = nullptr;
  Context context_{1};
  void* flush_ = nullptr;
  size_t flush_bytes_ = 0;
};

const RegisterDevice registered(Backend::cuda, [](int) -> std::unique_ptr<Device> { return std::make_unique<Gpu>(); });

}  // namespace
}  // namespace graft::bench
