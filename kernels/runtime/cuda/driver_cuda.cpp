// The driver of real devices: the CUDA runtime, linked statically. It opens libcuda.so.1 itself, so a program with CUDA kernels
// starts on a machine without one.
#include "kernels/runtime/cuda/driver.h"
#include "kernels/runtime/cuda/errors_cuda.h"
#include "kernels/runtime/cuda/fill.h"

namespace graft::cuda {
namespace {

cudaStream_t stream_of(void* s) { return static_cast<cudaStream_t>(s); }
cudaEvent_t event_of(void* e) { return static_cast<cudaEvent_t>(e); }

class Cuda final : public Driver {
 public:
  explicit Cuda(int device) : device_(device) {}

  DeviceInfo info() override {
    cudaDeviceProp p{};
    check_cuda(cudaGetDeviceProperties(&p, device_), "properties");
    DeviceInfo i{p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem, 0, 0};
    check_cuda(cudaDriverGetVersion(&i.driver), "driver version");
    check_cuda(cudaRuntimeGetVersion(&i.runtime), "runtime version");
    return i;
  }
  void make_current() override { check_cuda(cudaSetDevice(device_), "device"); }

  void* allocate(size_t bytes) override {
    const Here here(device_);
    // cudaMalloc is refused while any stream of this thread is captured, unless the thread says that it knows.
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    check_cuda(cudaThreadExchangeStreamCaptureMode(&mode), "capture mode");
    void* p = nullptr;
    const cudaError_t e = cudaMalloc(&p, bytes);
    cudaThreadExchangeStreamCaptureMode(&mode);
    if (e == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check_cuda(e, "memory");
    return p;
  }
  void release(void* p) override { cudaFree(p); }  // at the end of the process the runtime may be gone already
  size_t free_bytes() override {
    const Here here(device_);
    size_t free = 0, total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
  }
  void* allocate_pinned(size_t bytes) override {
    void* p = nullptr;
    check_cuda(cudaHostAlloc(&p, bytes, cudaHostAllocPortable), "pinned memory");
    return p;
  }
  void release_pinned(void* p) override { cudaFreeHost(p); }

  void copy(void* to, const void* from, size_t bytes, void* stream) override {
    const Here here(device_);
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(stream)), "copy");
  }
  void fill(void* to, const void* value, size_t value_bytes, int64_t n, void* stream) override {
    const Here here(device_);
    fill_values(to, value, value_bytes, n, stream);
  }
  void synchronize() override {
    const Here here(device_);
    check_cuda(cudaDeviceSynchronize(), "synchronize");
  }

  void* create_stream() override {
    const Here here(device_);
    cudaStream_t s = nullptr;  // a blocking one: in order with the default stream
    check_cuda(cudaStreamCreate(&s), "stream");
    return s;
  }
  void destroy_stream(void* s) override { cudaStreamDestroy(stream_of(s)); }
  void* create_event() override {
    const Here here(device_);
    cudaEvent_t e = nullptr;
    check_cuda(cudaEventCreate(&e), "event");
    return e;
  }
  void destroy_event(void* e) override { cudaEventDestroy(event_of(e)); }
  void record(void* event, void* stream) override {
    const Here here(device_);  // the null stream is that of the current device
    check_cuda(cudaEventRecord(event_of(event), stream_of(stream)), "record");
  }
  void wait(void* stream, void* event) override {
    const Here here(device_);
    check_cuda(cudaStreamWaitEvent(stream_of(stream), event_of(event)), "wait");
  }
  void finish(void* event) override { check_cuda(cudaEventSynchronize(event_of(event)), "finish"); }
  double milliseconds(void* begin, void* end) override {
    float ms = 0;
    check_cuda(cudaEventElapsedTime(&ms, event_of(begin), event_of(end)), "elapsed time");
    return double(ms);
  }

  void begin_capture(void* stream) override {
    const Here here(device_);
    check_cuda(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal), "capture");
  }
  void* end_capture(void* stream) override {
    const Here here(device_);
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamEndCapture(stream_of(stream), &graph), "capture");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t e = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(e, "graph");
    return executable;
  }
  void launch_graph(void* graph, void* stream) override {
    const Here here(device_);
    check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(stream)), "graph");
  }
  void destroy_graph(void* graph) override {
    if (graph) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
  }

 private:
  struct Here {  // the device is current in this scope
    explicit Here(int device) {
      cudaGetDevice(&before);
      if (before != device) check_cuda(cudaSetDevice(device), "device");
      else before = -1;
    }
    ~Here() {
      if (before >= 0) cudaSetDevice(before);
    }
    int before = 0;
  };
  int device_;
};

std::vector<std::unique_ptr<Driver>> find(std::string& why_none) {
  int n = 0;
  const cudaError_t e = cudaGetDeviceCount(&n);
  if (e != cudaSuccess) cudaGetLastError();
  if (e == cudaErrorInsufficientDriver || e == cudaErrorNoDevice || (e == cudaSuccess && n == 0)) {
    int version = 0;
    cudaDriverGetVersion(&version);
    why_none = version == 0 ? "no NVIDIA driver"
               : e == cudaErrorInsufficientDriver
                   ? fmt::format("the driver is for CUDA {}.{}, this build needs {}.{}", version / 1000, version % 1000 / 10,
                                 CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10)
                   : "the driver sees no GPU";
    return {};
  }
  if (e != cudaSuccess) {
    why_none = fmt::format("{} ({})", cudaGetErrorString(e), cudaGetErrorName(e));
    return {};
  }
  std::vector<std::unique_ptr<Driver>> all;
  for (int i = 0; i < n; ++i) all.push_back(std::make_unique<Cuda>(i));
  return all;
}

const RegisterDevices registered(find);

}  // namespace
}  // namespace graft::cuda
