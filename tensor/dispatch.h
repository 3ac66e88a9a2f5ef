// From tensors to a kernel: call<SoftmaxForward>(Op::softmax, Pass::forward, x, y, x, shape) finds the kernel of x's
// device and dtype and passes every Tensor as the pointer type that the signature asks for (null when undefined).
#pragma once
#include <tuple>
#include <utility>

#include "kernels/common/registry.h"
#include "tensor/tensor.h"

namespace graft {
namespace detail {

template <class P, class A>
decltype(auto) kernel_argument(A&& a) {
  if constexpr (std::is_same_v<std::remove_cvref_t<A>, Tensor>)
    return a ? P(a.template data<std::remove_cv_t<std::remove_pointer_t<P>>>()) : P(nullptr);
  else return std::forward<A>(a);
}

template <class... P, class... A>
void invoke(void (*kernel)(Context&, P...), A&&... args) {
  kernel(current_context(), kernel_argument<P>(std::forward<A>(args))...);
}

}  // namespace detail

template <template <class> class Signature, class... Args>
void call(Op op, Pass pass, const Tensor& like, Args&&... args) {
  const auto find = [&](const std::type_info& s) { return find_kernel(op, pass, like.device().backend, like.dtype(), s); };
  if (like.dtype() == DType::f64)
    detail::invoke(reinterpret_cast<Signature<double>*>(find(typeid(Signature<double>))), std::forward<Args>(args)...);
  else detail::invoke(reinterpret_cast<Signature<float>*>(find(typeid(Signature<float>))), std::forward<Args>(args)...);
}

// Same dtype and device for all defined tensors, else one error that names the op and the argument.
void check_same(const char* op, const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> others);

}  // namespace graft
