// What the runtime asks of CUDA, for one device: so little that all above it (allocator, staging, graphs, tensors on a device)
// is plain C++, compiled in every build and tested without a GPU on a driver of the tests. driver_cuda.cpp is the real one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace graft::cuda {

struct DeviceInfo {
  std::string name;          // "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t bytes = 0;             // of global memory
  int driver = 0, runtime = 0;  // CUDA versions, 13000 for 13.0
};

// Streams, events and graphs are opaque here; a null stream is the device's default stream. Failures throw DeviceError.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual DeviceInfo info() = 0;
  virtual void make_current() = 0;  // of the calling thread

  virtual void* allocate(size_t bytes) = 0;  // null: the device has no room. Allowed while a stream is captured
  virtual void release(void*) = 0;           // after all work of the device
  virtual size_t free_bytes() = 0;
  virtual void* allocate_pinned(size_t bytes) = 0;
  virtual void release_pinned(void*) = 0;

  virtual void copy(void* to, const void* from, size_t bytes, void* stream) = 0;  // any direction; host memory is pinned
  virtual void fill(void* to, const void* value, size_t value_bytes, int64_t n, void* stream) = 0;  // values of 1, 2, 4 or 8 bytes
  virtual void synchronize() = 0;

  virtual void* create_stream() = 0;
  virtual void destroy_stream(void*) = 0;
  virtual void* create_event() = 0;
  virtual void destroy_event(void*) = 0;
  virtual void record(void* event, void* stream) = 0;
  virtual void wait(void* stream, void* event) = 0;  // the stream goes on when the event has happened
  virtual void finish(void* event) = 0;              // the caller does
  virtual double milliseconds(void* begin, void* end) = 0;

  virtual void begin_capture(void* stream) = 0;
  virtual void* end_capture(void* stream) = 0;  // an executable graph
  virtual void launch_graph(void* graph, void* stream) = 0;
  virtual void destroy_graph(void*) = 0;
};

// Devices that this process can use: none without CUDA kernels in the build, without a driver, or without a GPU.
int device_count();
const std::string& why_no_device();  // "" where there is one
bool built_in();                     // whether this build has CUDA kernels
Driver& driver(int device);          // DeviceError when there is no such device

// Each thread launches on one device at a time, the first until it says otherwise.
int current_device();
void use_device(int device);

// driver_cuda.cpp registers how devices are found, as kernels register themselves.
using FindDevices = std::vector<std::unique_ptr<Driver>> (*)(std::string& why_none);
struct RegisterDevices {
  explicit RegisterDevices(FindDevices);
};

// Tests: in its lifetime these are the devices.
class TestDevices {
 public:
  explicit TestDevices(std::vector<std::unique_ptr<Driver>>);
  ~TestDevices();
  TestDevices(const TestDevices&) = delete;
};

}  // namespace graft::cuda
