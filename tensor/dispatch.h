// From tensors to a kernel: call<SoftmaxForward>(Op::softmax, Pass::forward, x, y, x, shape) finds the kernel of x's
// device and dtype and passes every Tensor as the pointer type that the signature asks for (null when undefined).
#pragma once
#include <tuple>
#include <utility>

#include "kernels/common/half.h"
#include "kernels/common/registry.h"
#include "tensor/tensor.h"

namespace graft {
namespace detail {

template <class P, class A>
decltype(auto) kernel_argument(A&& a) {
  if constexpr (std::is_same_v<std::remove_cvref_t<A>, Tensor>)
    return a ? P(a.template device_data<std::remove_cv_t<std::remove_pointer_t<P>>>()) : P(nullptr);
  else return std::forward<A>(a);
}

// A kernel of a device gets no pointer to memory of another, whatever the op has checked.
template <class A>
void check_reachable(Op op, const Tensor& like, const A& a) {
  if constexpr (std::is_same_v<A, Tensor>) {
    if (!a || a.device() == like.device() || (a.device().on_host() && like.device().on_host())) return;
    throw DeviceError(fmt::format("{}: an argument {}{} is on {}, the others on {}", name(op), name(a.dtype()), a.shape(),
                                  name(a.device()), name(like.device())));
  }
}

template <class... P, class... A>
void invoke(void (*kernel)(Context&, P...), A&&... args) {
  kernel(current_context(), kernel_argument<P>(std::forward<A>(args))...);
}

}  // namespace detail

template <template <class> class Signature, class... Args>
void call(Op op, Pass pass, const Tensor& like, Args&&... args) {
  (detail::check_reachable(op, like, args), ...);
  activate(like.device());
  const auto with = [&]<class T>(std::type_identity<T>) {
    const AnyKernel kernel = find_kernel(op, pass, like.device().backend, like.dtype(), typeid(Signature<T>));
    detail::invoke(reinterpret_cast<Signature<T>*>(kernel), std::forward<Args>(args)...);
  };
  switch (like.dtype()) {
    case DType::f64: return with(std::type_identity<double>{});
    case DType::bf16: return with(std::type_identity<BFloat16>{});
    default: return with(std::type_identity<float>{});
  }
}

// The type in which values of x's type are added up: losses, statistics, the parameters of norms (Accumulate<T>).
inline DType accumulated(const Tensor& x) { return accumulate(x.dtype()); }
// Of that type and on x's device, all that are defined.
void check_accumulated(const char* op, const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> others);

// Same dtype and device for all defined tensors, else one error that names the op and the argument.
void check_same(const char* op, const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> others);

}  // namespace graft
