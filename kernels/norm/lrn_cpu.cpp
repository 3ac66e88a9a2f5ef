// LRN: vectors along the channels of a row. The terms of the window sums are put into a buffer with zeros at both ends,
// so every window is `size` loads without a border case.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/lrn_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/common/simd_math.h"
#include "kernels/norm/norm.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// d^-beta; CaffeNet's 3/4 by square roots.
HWY_INLINE VF inverse_power(VF d, double beta) {
  if (beta == 0.75) {
    const VF root = hn::Sqrt(d);
    return hn::Div(hn::Set(F32(), 1.0f), hn::Mul(root, hn::Sqrt(root)));
  }
  return exp_of(hn::Mul(hn::Set(F32(), float(-beta)), log_of(d)));
}

template <class Lanes>
HWY_INLINE VF window_sum(const float* padded, int64_t c, int64_t size, Lanes lanes) {
  VF sum = hn::Zero(F32());
  for (int64_t j = 0; j < size; ++j) sum = hn::Add(sum, lanes.load(padded + c + j));
  return sum;
}

// f(c, lanes, x, d) for one row; padded: channels + size - 1 floats.
template <class F>
HWY_INLINE void with_denominators(const float* x, float* padded, const LrnParams& p, F f) {
  const VF k = hn::Set(F32(), float(p.k)), a = hn::Set(F32(), float(p.alpha / double(p.size)));
  std::fill_n(padded, p.channels + p.size - 1, 0.0f);
  for_vectors(p.channels, [&](int64_t c, auto lanes) {
    const VF v = lanes.load(x + c);
    lanes.store(hn::Mul(v, v), padded + p.size / 2 + c);
  });
  for_vectors(p.channels, [&](int64_t c, auto lanes) {
    f(c, lanes, lanes.load(x + c), hn::MulAdd(a, window_sum(padded, c, p.size, lanes), k));
  });
}

void LrnRow(float* y, const float* x, float* padded, const LrnParams& p) {
  with_denominators(x, padded, p,
                    [&](int64_t c, auto lanes, VF v, VF d) { lanes.store(hn::Mul(v, inverse_power(d, p.beta)), y + c); });
}

void LrnRowGradient(float* dx, const float* dy, const float* x, float* padded, const LrnParams& p) {
  float* terms = padded + p.channels + p.size - 1;  // dy x d^(-beta-1), a second padded row
  std::fill_n(terms, p.channels + p.size - 1, 0.0f);
  with_denominators(x, padded, p, [&](int64_t c, auto lanes, VF v, VF d) {
    const VF g = hn::Mul(lanes.load(dy + c), inverse_power(d, p.beta));
    lanes.store(g, dx + c);
    lanes.store(hn::Div(hn::Mul(g, v), d), terms + (p.size - 1) / 2 + c);
  });
  const VF factor = hn::Set(F32(), float(2 * p.alpha * p.beta / double(p.size)));
  for_vectors(p.channels, [&](int64_t c, auto lanes) {
    const VF sum = hn::Mul(factor, window_sum(terms, c, p.size, lanes));
    lanes.store(hn::NegMulAdd(lanes.load(x + c), sum, lanes.load(dx + c)), dx + c);
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(LrnRow);
HWY_EXPORT(LrnRowGradient);

// f(row, buffer) with two padded rows of scratch for each thread.
template <class F>
static void for_rows(Context& context, const LrnParams& p, F f) {
  const int64_t length = 2 * (p.channels + p.size - 1), grain = std::max<int64_t>(1, (1 << 13) / p.channels);
  auto buffers = context.scratch<float>(size_t(length * context.pool().size()));
  context.pool().parallel_for((p.rows + grain - 1) / grain, [&](int64_t task, int worker) {
    for (int64_t r = task * grain; r < std::min((task + 1) * grain, p.rows); ++r) f(r, buffers.get() + worker * length);
  });
}

void lrn_forward(Context& context, float* y, const float* x, const LrnParams& p) {
  for_rows(context, p, [&](int64_t r, float* buffer) {
    HWY_DYNAMIC_DISPATCH(LrnRow)(y + r * p.channels, x + r * p.channels, buffer, p);
  });
}

void lrn_backward(Context& context, float* dx, const float* dy, const float* x, const LrnParams& p) {
  for_rows(context, p, [&](int64_t r, float* buffer) {
    HWY_DYNAMIC_DISPATCH(LrnRowGradient)(dx + r * p.channels, dy + r * p.channels, x + r * p.channels, buffer, p);
  });
}

GRAFT_KERNEL(lrn, forward, cpu, float, LrnForward);
GRAFT_KERNEL(lrn, backward, cpu, float, LrnBackward);

}  // namespace graft::cpu
#endif
