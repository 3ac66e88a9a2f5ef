// One optimizer step over many parameters at once: changes weights and state in place and bumps their versions, so that
// a graph recorded before the step refuses to run backward.
#pragma once
#include <span>

#include "kernels/optim/adamw.h"
#include "kernels/optim/sgd.h"
#include "tensor/tensor.h"

namespace graft {

// grad and velocity have the weight's shape, dtype and device; velocity is undefined when momentum is 0. A weight that the network
// uses in bf16: weight and velocity are f32, grad and rounded, which gets the new weight, are bf16; else rounded is undefined.
// Updates of both kinds may stand in one list: one launch each.
struct SgdUpdate {
  Tensor weight, grad, velocity;
  double lr, weight_decay;
  Tensor rounded = {};
};
void sgd_step(std::span<const SgdUpdate> updates, const SgdParams& params);

struct AdamwUpdate {
  Tensor weight, grad, mean, square;
  double lr, weight_decay;
  Tensor rounded = {};
};
void adamw_step(std::span<const AdamwUpdate> updates, const AdamwParams& params);

// The norm of all tensors taken as one vector; f32 and bf16 may be mixed. Waits for the device.
double global_norm(std::span<const Tensor> tensors);

// A StepState in the memory of a device (kernels/optim/step_state.h), for the params of a step.
class DeviceStepState {
 public:
  explicit DeviceStepState(Device device);
  void set(const StepState&) const;                       // from the host
  void measure(std::span<const Tensor> gradients) const;  // squares, on the device: nobody waits
  const StepState* get() const { return static_cast<const StepState*>(bytes_.device_raw()); }

 private:
  Tensor bytes_;
};

}  // namespace graft
