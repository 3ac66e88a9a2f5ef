#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/axpby_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/elementwise/axpby.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

void Axpby(float* y, const float* x, float a, float b, int64_t n) {
  const F32 d;
  const VF va = hn::Set(d, a), vb = hn::Set(d, b);
  if (b == 0)
    map_floats(
        y, n, [&](VF v) { return hn::Mul(va, v); }, x);
  else
    map_floats(
        y, n, [&](VF v, VF w) { return hn::MulAdd(va, v, hn::Mul(vb, w)); }, x, static_cast<const float*>(y));
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Axpby);

void axpby_forward(Context& context, float* y, const float* x, const AxpbyParams& p) {
  context.pool().parallel_range(p.n, 1 << 14, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Axpby)(y + begin, x + begin, float(p.a), float(p.b), end - begin);
  });
}

GRAFT_KERNEL(axpby, forward, cpu, float, AxpbyForward);

}  // namespace graft::cpu
#endif
