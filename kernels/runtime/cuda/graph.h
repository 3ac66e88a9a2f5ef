// A piece of work, for instance a whole training step, recorded once and launched as one: the host's cost of some hundred
// launches becomes that of one.
//
//   step();                                   // once as usual: modules are loaded, gradients and optimizer state exist
//   CudaGraph graph;
//   graph.capture(context, step);             // records, does not run
//   for (...) { x.copy_from(batch); graph.replay(context); }
//
// A replay does the same launches on the same addresses with the same arguments. So `step` works on tensors that stay: the
// batch is copied into x. What the host decided while recording is fixed, whether gradients are clipped and the random stream of
// dropout among it; learning rate and step count lie on the device (kernels/optim/step_state.h). Nothing inside may bring values to
// the host (item(), to_vector(): DeviceError).
#pragma once
#include <functional>

#include "kernels/common/context.h"
#include "kernels/runtime/cuda/stream.h"

namespace graft::cuda {

class CudaGraph {
 public:
  explicit CudaGraph(int device = current_device()) : device_(device), stream_(device) {}
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;

  // What `work` launches on the context's stream, which is another one meanwhile. Passes on what `work` throws.
  void capture(Context&, const std::function<void()>& work);
  void replay(Context&);  // in the order of the context's stream
  bool captured() const { return handle_; }

 private:
  void clear();
  int device_;
  Stream stream_;
  void* handle_ = nullptr;
  int64_t memory_ = 0;  // the allocator's name of what the graph uses
};

}  // namespace graft::cuda
