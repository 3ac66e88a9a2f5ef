#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optim/adamw_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <cmath>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/pieces.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

void Adamw(const AdamwTensor<float>& t, int64_t begin, int64_t end, const AdamwParams& p, const StepState& now) {
  const F32 d;
  const auto set = [&](double v) { return hn::Set(d, float(v)); };
  const double lr = now.lr * t.lr;
  const VF keep = set(1 - lr * t.weight_decay), rate = set(lr / (1 - std::pow(p.beta1, double(now.step))));
  const VF correction = set(std::sqrt(1 - std::pow(p.beta2, double(now.step)))), epsilon = set(p.epsilon);
  const VF scale = set(clip_factor(now));
  const VF new1 = set(1 - p.beta1), beta2 = set(p.beta2), new2 = set(1 - p.beta2);
  for_vectors(end - begin, [&](int64_t i, auto lanes) {
    i += begin;
    const VF g = hn::Mul(scale, lanes.load(t.grad + i)), old = lanes.load(t.mean + i);
    const VF mean = hn::MulAdd(new1, hn::Sub(g, old), old);
    const VF square = hn::MulAdd(hn::Mul(new2, g), g, hn::Mul(beta2, lanes.load(t.square + i)));
    lanes.store(mean, t.mean + i);
    lanes.store(square, t.square + i);
    const VF denominator = hn::Add(hn::Div(hn::Sqrt(square), correction), epsilon);
    const VF weight = hn::NegMulAdd(rate, hn::Div(mean, denominator), hn::Mul(lanes.load(t.weight + i), keep));
    lanes.store(weight, t.weight + i);
    if (t.rounded) lanes.store(weight, t.rounded + i);
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Adamw);

void adamw_step(Context& context, std::span<const AdamwTensor<float>> tensors, const AdamwParams& p) {
  const StepState now = p.state ? *p.state : StepState{.step = p.step};
  for_each_piece(context, tensors, [&](const AdamwTensor<float>& t, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Adamw)(t, begin, end, p, now);
  });
}

GRAFT_KERNEL(adamw, step, cpu, float, AdamwStep);

}  // namespace graft::cpu
#endif
