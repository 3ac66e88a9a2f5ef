// The table that ops.def generates: (op, pass, backend, dtype) -> function.
// A kernel file fills its slots where it is compiled; asking for an empty slot throws NotImplemented by name.
#pragma once
#include <span>
#include <string_view>
#include <typeinfo>

#include "kernels/common/dtype.h"

namespace graft {

enum class Op : uint8_t {
#define OP(name, room, ...) name,
#include "kernels/ops.def"
#undef OP
};
inline constexpr int kOps = 0
#define OP(name, room, ...) +1
#include "kernels/ops.def"
#undef OP
    ;

enum class Pass : uint8_t { forward, backward, dgrad, wgrad, step };
inline constexpr int kPasses = 5;

std::string_view name(Op op);
std::string_view name(Pass pass);
std::string_view room(Op op);
std::span<const Pass> passes(Op op);

using AnyKernel = void (*)();

// Throws NotImplemented for an empty slot and InternalError for a signature other than the registered one.
AnyKernel find_kernel(Op, Pass, Backend, DType, const std::type_info& signature);
bool has_kernel(Op, Pass, Backend, DType);

struct RegisterKernel {
  template <class Signature>
  RegisterKernel(Op op, Pass pass, Backend backend, DType dtype, Signature* function)
      : RegisterKernel(op, pass, backend, dtype, reinterpret_cast<AnyKernel>(function), typeid(Signature)) {}
  RegisterKernel(Op, Pass, Backend, DType, AnyKernel, const std::type_info&);
};

// GRAFT_KERNEL(softmax, forward, cpu, float, SoftmaxForward): cpu::softmax_forward fills its float slot.
#define GRAFT_KERNEL(op, pass, backend, T, Signature)                                        \
  static const ::graft::RegisterKernel registered_##op##_##pass##_##backend##_##T(           \
      ::graft::Op::op, ::graft::Pass::pass, ::graft::Backend::backend, ::graft::dtype_of<T>, \
      static_cast<Signature<T>*>(&::graft::backend::op##_##pass))

// The oracle runs in float and double: ref::softmax_forward<T> is a template.
#define GRAFT_REF_KERNEL(op, pass, Signature)                                           \
  static const ::graft::RegisterKernel registered_##op##_##pass##_ref_f32(              \
      ::graft::Op::op, ::graft::Pass::pass, ::graft::Backend::ref, ::graft::DType::f32, \
      static_cast<Signature<float>*>(&::graft::ref::op##_##pass<float>));               \
  static const ::graft::RegisterKernel registered_##op##_##pass##_ref_f64(              \
      ::graft::Op::op, ::graft::Pass::pass, ::graft::Backend::ref, ::graft::DType::f64, \
      static_cast<Signature<double>*>(&::graft::ref::op##_##pass<double>))

}  // namespace graft
