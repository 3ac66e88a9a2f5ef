#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/activation_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/common/simd_math.h"
#include "kernels/elementwise/activation.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

HWY_INLINE VF sigmoid(F32 d, VF x) {
  const VF one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp_of(hn::Neg(x))));
}

// Normal CDF through erfc(a) = p(t) exp(-a^2), t = 1 / (1 + 0.3275911 a): Abramowitz & Stegun 7.1.26, |error| < 1.5e-7.
HWY_INLINE VF normal_cdf(F32 d, VF x) {
  const VF a = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f));
  const VF t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(a, hn::Set(d, 0.3275911f), hn::Set(d, 1.0f)));
  VF p = hn::Set(d, 1.061405429f);
  p = hn::MulAdd(p, t, hn::Set(d, -1.453152027f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592f));
  const VF tail = hn::Mul(hn::Mul(hn::Mul(p, t), hn::Set(d, 0.5f)), hn::Exp(d, hn::Neg(hn::Mul(a, a))));  // erfc / 2
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}

template <Activation kKind>
HWY_INLINE VF activate(F32 d, VF x) {
  const VF zero = hn::Zero(d);
  if constexpr (kKind == Activation::relu) return hn::IfThenElse(hn::Lt(x, zero), zero, x);  // keeps NaN, unlike max
  if constexpr (kKind == Activation::relu6) {
    const VF six = hn::Set(d, 6.0f);
    return hn::IfThenElse(hn::Lt(x, zero), zero, hn::IfThenElse(hn::Gt(x, six), six, x));
  }
  if constexpr (kKind == Activation::gelu) return hn::Mul(x, normal_cdf(d, x));
  if constexpr (kKind == Activation::silu) return hn::Mul(x, sigmoid(d, x));
  if constexpr (kKind == Activation::tanh) return hn::Tanh(d, x);
  if constexpr (kKind == Activation::sigmoid) return sigmoid(d, x);
  return x;
}

template <Activation kKind>
HWY_INLINE VF derivative(F32 d, VF x) {
  const VF zero = hn::Zero(d), one = hn::Set(d, 1.0f);
  if constexpr (kKind == Activation::relu) return hn::IfThenElseZero(hn::Gt(x, zero), one);
  if constexpr (kKind == Activation::relu6)
    return hn::IfThenElseZero(hn::And(hn::Gt(x, zero), hn::Lt(x, hn::Set(d, 6.0f))), one);
  if constexpr (kKind == Activation::gelu) {
    const VF pdf = hn::Mul(hn::Set(d, 0.39894228f), hn::Exp(d, hn::Mul(hn::Set(d, -0.5f), hn::Mul(x, x))));
    return hn::MulAdd(x, pdf, normal_cdf(d, x));
  }
  if constexpr (kKind == Activation::silu) {
    const VF s = sigmoid(d, x);
    return hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));
  }
  if constexpr (kKind == Activation::tanh) {
    const VF t = hn::Tanh(d, x);
    return hn::NegMulAdd(t, t, one);
  }
  if constexpr (kKind == Activation::sigmoid) {
    const VF s = sigmoid(d, x);
    return hn::Mul(s, hn::Sub(one, s));
  }
  return one;
}

template <class F>
void with_kind(Activation kind, F f) {
  switch (kind) {
    case Activation::none: return f.template operator()<Activation::none>();
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::relu6: return f.template operator()<Activation::relu6>();
    case Activation::gelu: return f.template operator()<Activation::gelu>();
    case Activation::silu: return f.template operator()<Activation::silu>();
    case Activation::tanh: return f.template operator()<Activation::tanh>();
    case Activation::sigmoid: return f.template operator()<Activation::sigmoid>();
  }
}

void Forward(float* y, const float* x, int64_t n, Activation kind) {
  with_kind(kind, [&]<Activation kKind>() {
    map_floats(y, n, [](VF v) { return activate<kKind>(F32(), v); }, x);
  });
}

void Backward(float* dx, const float* dy, const float* x, int64_t n, Activation kind) {
  with_kind(kind, [&]<Activation kKind>() {
    map_floats(dx, n, [](VF g, VF v) { return hn::Mul(g, derivative<kKind>(F32(), v)); }, dy, x);
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Forward);
HWY_EXPORT(Backward);

constexpr int64_t kGrain = 1 << 14;  // 64 KB a task: in L2, and a few microseconds of work

void activation_forward(Context& context, float* y, const float* x, const ActivationParams& p) {
  context.pool().parallel_range(p.n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Forward)(y + begin, x + begin, end - begin, p.kind);
  });
}

void activation_backward(Context& context, float* dx, const float* dy, const float* x, const ActivationParams& p) {
  context.pool().parallel_range(p.n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Backward)(dx + begin, dy + begin, x + begin, end - begin, p.kind);
  });
}

GRAFT_KERNEL(activation, forward, cpu, float, ActivationForward);
GRAFT_KERNEL(activation, backward, cpu, float, ActivationBackward);

}  // namespace graft::cpu
#endif
