#include "tensor/ops/optim.h"

#include <cmath>

#include "kernels/optim/global_norm.h"
#include "tensor/dispatch.h"

namespace graft {
namespace {

void check_like(const char* op, const char* what, const Tensor& weight, const Tensor& t, DType dtype) {
  check<ShapeError>(t && t.shape() == weight.shape(), "{}: {}: expected {}, got {}", op, what, weight.shape(),
                    t ? t.shape().str() : "none");
  check<DtypeError>(t.dtype() == dtype, "{}: {}: expected {}, got {}", op, what, name(dtype), name(t.dtype()));
  check<DeviceError>(t.device() == weight.device(), "{}: {}: expected on {}, got on {}", op, what, name(weight.device().backend),
                     name(t.device().backend));
}

// The type that the network computes with.
template <class Update>
DType dtype_of_network(const Update& u) {
  return u.rounded ? u.rounded.dtype() : u.weight.dtype();
}

template <class Update>
void check_update(const char* op, const Update& u, const Tensor& first) {
  check<DeviceError>(u.weight.device() == first.device(), "{}: weight: expected on {}, got on {}", op, name(first.device().backend),
                     name(u.weight.device().backend));
  const DType t = dtype_of_network(u);
  check<DtypeError>(u.weight.dtype() == accumulate(t), "{}: weight: expected {} beside a rounded copy in {}, got {}", op,
                    name(accumulate(t)), name(t), name(u.weight.dtype()));
  if (u.rounded) check_like(op, "rounded", u.weight, u.rounded, t);
  check_like(op, "grad", u.weight, u.grad, t);
}

// Calls f with a value of the C++ type of dtype.
template <class F>
void with_dtype(DType dtype, F f) {
  if (dtype == DType::f64) f(double{});
  else if (dtype == DType::bf16) f(BFloat16{});
  else f(float{});
}

template <class T>
T* data_or_null(const Tensor& t) {
  return t ? t.device_data<T>() : nullptr;
}

// Runs the step kernels of the list's device on item(update, T{}) for each update, once for each type of the network.
template <template <class> class Step, class Update, class Params, class F>
void run_step(Op op, std::span<const Update> updates, const Params& params, F item) {
  if (updates.empty()) return;
  activate(updates[0].weight.device());
  for (DType dtype : {DType::f32, DType::f64, DType::bf16})
    with_dtype(dtype, [&]<class T>(T zero) {
      std::vector<decltype(item(updates[0], zero))> list;
      for (const Update& u : updates)
        if (dtype_of_network(u) == dtype) list.push_back(item(u, zero));
      if (list.empty()) return;
      const AnyKernel kernel = find_kernel(op, Pass::step, updates[0].weight.device().backend, dtype, typeid(Step<T>));
      reinterpret_cast<Step<T>*>(kernel)(current_context(), list, params);
    });
}

}  // namespace

void sgd_step(std::span<const SgdUpdate> updates, const SgdParams& params) {
  const bool momentum = params.momentum != 0;
  for (const SgdUpdate& u : updates) {
    check_update("sgd", u, updates[0].weight);
    if (momentum) check_like("sgd", "velocity", u.weight, u.velocity, u.weight.dtype());
  }
  run_step<SgdStep>(Op::sgd, updates, params, [&]<class T>(const SgdUpdate& u, T) {
    using A = Accumulate<T>;
    return SgdTensor<T>{u.weight.device_data<A>(),
                        u.grad.device_data<T>(),
                        momentum ? u.velocity.device_data<A>() : nullptr,
                        u.weight.numel(),
                        u.lr,
                        u.weight_decay,
                        data_or_null<T>(u.rounded)};
  });
  for (const SgdUpdate& u : updates)
    for (const Tensor* t : {&u.weight, &u.velocity, &u.rounded})
      if (*t) t->bump_version();
}

void adamw_step(std::span<const AdamwUpdate> updates, const AdamwParams& params) {
  for (const AdamwUpdate& u : updates) {
    check_update("adamw", u, updates[0].weight);
    check_like("adamw", "mean", u.weight, u.mean, u.weight.dtype());
    check_like("adamw", "square", u.weight, u.square, u.weight.dtype());
  }
  run_step<AdamwStep>(Op::adamw, updates, params, []<class T>(const AdamwUpdate& u, T) {
    using A = Accumulate<T>;
    return AdamwTensor<T>{u.weight.device_data<A>(),
                          u.grad.device_data<T>(),
                          u.mean.device_data<A>(),
                          u.square.device_data<A>(),
                          u.weight.numel(),
                          u.lr,
                          u.weight_decay,
                          data_or_null<T>(u.rounded)};
  });
  for (const AdamwUpdate& u : updates)
    for (const Tensor* t : {&u.weight, &u.mean, &u.square, &u.rounded})
      if (*t) t->bump_version();
}

namespace {

// *squares, in the memory of the device, = the square of the norm of all tensors.
void sum_squares(double* squares, std::span<const Tensor> tensors, Device device) {
  activate(device);
  for (const Tensor& t : tensors)
    check<DeviceError>(t.device() == device, "global_norm: expected all on {}, got one on {}", name(device.backend),
                       name(t.device().backend));
  GlobalNormParams p;
  for (DType dtype : {DType::f32, DType::f64, DType::bf16})
    with_dtype(dtype, [&]<class T>(T) {
      std::vector<NormTensor<T>> list;
      for (const Tensor& t : tensors)
        if (t.dtype() == dtype) list.push_back({t.device_data<T>(), t.numel()});
      if (list.empty()) return;
      const AnyKernel kernel = find_kernel(Op::global_norm, Pass::forward, device.backend, dtype, typeid(GlobalNormForward<T>));
      reinterpret_cast<GlobalNormForward<T>*>(kernel)(current_context(), squares, list, p);
      p.more = true;
    });
}

}  // namespace

double global_norm(std::span<const Tensor> tensors) {
  if (tensors.empty()) return 0;
  const Tensor squares = Tensor::zeros({1}, DType::f64, tensors[0].device());
  sum_squares(squares.device_data<double>(), tensors, tensors[0].device());
  return std::sqrt(squares.item());
}

DeviceStepState::DeviceStepState(Device device) : bytes_(Tensor::zeros({int64_t{sizeof(StepState)}}, DType::u8, device)) {}

void DeviceStepState::set(const StepState& s) const {
  bytes_.copy_from(Tensor::from(std::span(reinterpret_cast<const uint8_t*>(&s), sizeof(s)), bytes_.shape()));
}

void DeviceStepState::measure(std::span<const Tensor> gradients) const {
  auto* const state = static_cast<StepState*>(bytes_.device_raw());
  sum_squares(&state->squares, gradients, bytes_.device());
}

}  // namespace graft
