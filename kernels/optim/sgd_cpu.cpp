#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optim/sgd_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/optim/pieces.h"
#include "kernels/optim/sgd.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

void Sgd(const SgdTensor<float>& t, int64_t begin, int64_t end, const SgdParams& p, const StepState& now) {
  const F32 d;
  const VF lr = hn::Set(d, float(now.lr * t.lr)), scale = hn::Set(d, float(clip_factor(now))),
           decay = hn::Set(d, float(t.weight_decay)), momentum = hn::Set(d, float(p.momentum));
  for_vectors(end - begin, [&](int64_t i, auto lanes) {
    i += begin;
    const VF w = lanes.load(t.weight + i);
    VF g = hn::MulAdd(decay, w, hn::Mul(scale, lanes.load(t.grad + i)));
    if (t.velocity) {
      const VF velocity = hn::MulAdd(momentum, lanes.load(t.velocity + i), g);
      lanes.store(velocity, t.velocity + i);
      g = p.nesterov ? hn::MulAdd(momentum, velocity, g) : velocity;
    }
    const VF weight = hn::NegMulAdd(lr, g, w);
    lanes.store(weight, t.weight + i);
    if (t.rounded) lanes.store(weight, t.rounded + i);
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Sgd);

void sgd_step(Context& context, std::span<const SgdTensor<float>> tensors, const SgdParams& p) {
  const StepState now = p.state ? *p.state : StepState{};
  for_each_piece(context, tensors, [&](const SgdTensor<float>& t, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Sgd)(t, begin, end, p, now);
  });
}

GRAFT_KERNEL(sgd, step, cpu, float, SgdStep);

}  // namespace graft::cpu
#endif
