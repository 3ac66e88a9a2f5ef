#include "kernels/runtime/cuda/graph.h"

#include "kernels/common/error.h"
#include "kernels/runtime/cuda/memory.h"

namespace graft::cuda {

void CudaGraph::capture(Context& context, const std::function<void()>& work) {
  clear();
  Driver& d = driver(device_);
  Allocator& allocator = memory(device_).allocator;
  void* const outside = context.stream();
  memory_ = allocator.begin_capture(stream_.get());
  const auto end = [&] {
    context.set_stream(outside);
    allocator.end_capture(stream_.get());
  };
  try {
    d.begin_capture(stream_.get());
    context.set_stream(stream_.get());
    work();
    handle_ = d.end_capture(stream_.get());
  } catch (...) {
    try {
      if (context.stream() == stream_.get()) d.destroy_graph(d.end_capture(stream_.get()));
    } catch (const Error&) {  // what went wrong is already on its way
    }
    end();
    clear();
    throw;
  }
  end();
}

CudaGraph::~CudaGraph() {
  try {
    clear();
  } catch (const Error&) {  // of a device that has failed: that error is on its way
  }
}

void CudaGraph::replay(Context& context) {
  check<DeviceError>(handle_, "cuda: replay: nothing has been captured");
  driver(device_).launch_graph(handle_, context.stream());
}

void CudaGraph::clear() {
  if (memory_) memory(device_).allocator.release_graph(memory_);  // waits for the last replay
  if (handle_) driver(device_).destroy_graph(handle_);
  handle_ = nullptr, memory_ = 0;
}

}  // namespace graft::cuda
