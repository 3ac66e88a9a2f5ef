#include "nn/optim/masters.h"

namespace graft::nn {

Masters::Masters(Module& module) : module_(module), parameters_(module.named_parameters()) {
  check<ConfigError>(!parameters_.empty(), "bf16: the network has no parameters");
  const Device device = parameters_[0].second.device();
  check<DeviceError>(device.backend == Backend::cuda || device.backend == Backend::emu,
                     "bf16: expected a network on cuda or emu, got one on {} (its kernels are f32: train with precision f32)",
                     graft::name(device.backend));
  for (const auto& [name, p] : parameters_)
    check<DtypeError>(p.dtype() == DType::f32, "bf16: {}: expected f32, got {}", name, graft::name(p.dtype()));
  module.to(DType::bf16, device);
}

void Masters::round() const {
  const NamedTensors rounded = module_.named_parameters();
  for (size_t i = 0; i < rounded.size(); ++i)
    if (!rounded[i].second.same_as(parameters_[i].second)) rounded[i].second.copy_from(parameters_[i].second);
}

Masters::~Masters() {
  try {
    restore();
  } catch (const Error&) {  // of a device that has failed: that error is on its way
  }
}

void Masters::restore() {
  if (restored_) return;
  restored_ = true;
  const NamedTensors rounded = module_.named_parameters();
  module_.set_parameters(parameters_);
  for (size_t i = 0; i < rounded.size(); ++i)
    if (const Tensor g = rounded[i].second.grad()) parameters_[i].second.set_grad(g.to(DType::f32));
}

}  // namespace graft::nn
