#include "tensor/ops/optim.h"

#include "tensor/dispatch.h"

namespace graft {
namespace {

void check_like(const char* op, const char* what, const Tensor& weight, const Tensor& t) {
  check<ShapeError>(t && t.shape() == weight.shape(), "{}: {}: expected {}, got {}", op, what, weight.shape(),
                    t ? t.shape().str() : "none");
  check_same(op, weight, {{what, &t}});
}

// Runs the step kernel of the list's device and dtype on item(update, T{}) for each update.
template <template <class> class Step, class Update, class Params, class F>
void run_step(Op op, std::span<const Update> updates, const Params& params, F item) {
  if (updates.empty()) return;
  const Tensor& like = updates[0].weight;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    std::vector<decltype(item(updates[0], zero))> list;
    for (const Update& u : updates) list.push_back(item(u, zero));
    const AnyKernel kernel = find_kernel(op, Pass::step, like.device().backend, like.dtype(), typeid(Step<T>));
    reinterpret_cast<Step<T>*>(kernel)(current_context(), list, params);
  };
  if (like.dtype() == DType::f64) run(double{});
  else run(float{});
}

}  // namespace

void sgd_step(std::span<const SgdUpdate> updates, const SgdParams& params) {
  for (const SgdUpdate& u : updates) {
    check_same("sgd", updates[0].weight, {{"weight", &u.weight}});
    check_like("sgd", "grad", u.weight, u.grad);
    if (params.momentum != 0) check_like("sgd", "velocity", u.weight, u.velocity);
  }
  run_step<SgdStep>(Op::sgd, updates, params, [&]<class T>(const SgdUpdate& u, T) {
    T* velocity = params.momentum != 0 ? u.velocity.data<T>() : nullptr;
    return SgdTensor<T>{u.weight.data<T>(), u.grad.data<T>(), velocity, u.weight.numel(), u.lr, u.weight_decay};
  });
  for (const SgdUpdate& u : updates) {
    u.weight.bump_version();
    if (u.velocity) u.velocity.bump_version();
  }
}

void adamw_step(std::span<const AdamwUpdate> updates, const AdamwParams& params) {
  for (const AdamwUpdate& u : updates) {
    check_same("adamw", updates[0].weight, {{"weight", &u.weight}});
    check_like("adamw", "grad", u.weight, u.grad);
    check_like("adamw", "mean", u.weight, u.mean);
    check_like("adamw", "square", u.weight, u.square);
  }
  run_step<AdamwStep>(Op::adamw, updates, params, []<class T>(const AdamwUpdate& u, T) {
    return AdamwTensor<T>{u.weight.data<T>(), u.grad.data<T>(), u.mean.data<T>(), u.square.data<T>(), u.weight.numel(), u.lr,
                          u.weight_decay};
  });
  for (const AdamwUpdate& u : updates)
    for (const Tensor* t : {&u.weight, &u.mean, &u.square}) t->bump_version();
}

}  // namespace graft
