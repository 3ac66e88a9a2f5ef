#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/activation_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

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

// exp(-x^2 / 2): the rounding of x^2, which would cost a relative x^2 2^-25, is carried over (nothing is where there is
// no fused multiply-add). |x| up to 20.
HWY_INLINE VF gauss(F32 d, VF x) {
  const VF half = hn::Set(d, 0.5f), square = hn::Mul(x, x), rest = hn::MulSub(x, x, square);
  const VF e = hn::Exp(d, hn::Neg(hn::Mul(half, square)));
  return hn::NegMulAdd(e, hn::Mul(half, rest), e);
}

// Normal CDF, also in the negative tail with a relative error below 5e-7 (5e-6 without fused multiply-add):
// erfc(a) = t P(t) exp(-a^2), t = 1 / (1 + a / 2); P is fitted to erfc(a) exp(a^2) / t on [0, 8.5] for the least relative
// error (4e-8).
HWY_INLINE VF normal_cdf(F32 d, VF x) {
  const VF size = hn::Min(hn::Abs(x), hn::Set(d, 20.0f));  // beyond, the tail is 0 in float
  const VF one = hn::Set(d, 1.0f);
  const VF t = hn::Div(one, hn::MulAdd(size, hn::Set(d, 0.35355339f), one));
  VF p = hn::Set(d, -0.058296579867601395f);
  for (float c : {0.2807755172252655f, -0.47925764322280884f, 0.26887962222099304f, -0.020213542506098747f, 0.19993165135383606f,
                  0.24381303787231445f, 0.28227564692497253f, 0.28209224343299866f})
    p = hn::MulAdd(p, t, hn::Set(d, c));
  const VF tail = hn::Mul(hn::Mul(hn::Mul(p, t), hn::Set(d, 0.5f)), gauss(d, size));  // erfc / 2
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail));
}

// gelu_tanh is x sigmoid(2 u): 2 u, and its derivative.
HWY_INLINE VF gelu_tanh_argument(F32 d, VF x) {
  const VF square = hn::Mul(x, x);
  return hn::Mul(hn::Mul(x, hn::Set(d, 1.5957691f)), hn::MulAdd(square, hn::Set(d, 0.044715f), hn::Set(d, 1.0f)));
}
HWY_INLINE VF gelu_tanh_slope(F32 d, VF x) {
  return hn::Mul(hn::Set(d, 1.5957691f), hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.134145f), hn::Set(d, 1.0f)));
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
  if constexpr (kKind == Activation::gelu_tanh) return hn::Mul(x, sigmoid(d, gelu_tanh_argument(d, x)));
  return x;
}

template <Activation kKind>
HWY_INLINE VF derivative(F32 d, VF x) {
  const VF zero = hn::Zero(d), one = hn::Set(d, 1.0f);
  if constexpr (kKind == Activation::relu) return hn::IfThenElseZero(hn::Gt(x, zero), one);
  if constexpr (kKind == Activation::relu6) return hn::IfThenElseZero(hn::And(hn::Gt(x, zero), hn::Lt(x, hn::Set(d, 6.0f))), one);
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
  if constexpr (kKind == Activation::gelu_tanh) {
    const VF s = sigmoid(d, gelu_tanh_argument(d, x));
    return hn::Mul(s, hn::MulAdd(hn::Mul(x, hn::Sub(one, s)), gelu_tanh_slope(d, x), one));
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
    case Activation::gelu_tanh: return f.template operator()<Activation::gelu_tanh>();
  }
}

void Forward(float* y, const float* x, int64_t n, Activation kind) {
  with_kind(kind, [&]<Activation kKind>() {
    map_floats(
        y, n, [](VF v) { return activate<kKind>(F32(), v); }, x);
  });
}

void Backward(float* dx, const float* dy, const float* x, int64_t n, Activation kind) {
  with_kind(kind, [&]<Activation kKind>() {
    map_floats(
        dx, n, [](VF g, VF v) { return hn::Mul(g, derivative<kKind>(F32(), v)); }, dy, x);
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

void activation_backward(Context& context, float* dx, float* dbias, const float* dy, const float* x, const ActivationParams& p) {
  context.pool().parallel_range(p.n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Backward)(dx + begin, dy + begin, x + begin, end - begin, p.kind);
  });
  if (!dbias) return;
  std::fill_n(dbias, p.columns, 0.0f);
  for (const float *row = dx, *end = dx + p.n; row != end; row += p.columns)
    for (int64_t c = 0; c < p.columns; ++c) dbias[c] += row[c];
}

GRAFT_KERNEL(activation, forward, cpu, float, ActivationForward);
GRAFT_KERNEL(activation, backward, cpu, float, ActivationBackward);

}  // namespace graft::cpu
#endif
