#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/reduce_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/sum_repeats.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// dx rows [first, last) of `width`: one value repeated (inner = 1), or a row of dy that n rows share.
void Spread(float* dx, const float* dy, int64_t n, int64_t inner, float divisor, int64_t first, int64_t last) {
  const VF by = hn::Set(F32(), divisor);
  for (int64_t row = first; row < last; ++row)
    if (inner == 1) std::fill_n(dx + row * n, n, dy[row] / divisor);
    else
      map_floats(
          dx + row * inner, inner, [by](VF v) { return hn::Div(v, by); }, dy + row / n * inner);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Spread);

float divisor(const ReduceParams& p) { return p.kind == Reduce::mean ? float(p.n) : 1.0f; }

void reduce_forward(Context& context, float* y, const float* x, const ReduceParams& p) {
  if (p.inner == 1) sum_repeats(context, y, x, nullptr, {{1, 1, p.outer, p.n}, {0, 0, 1, 0}, {}, divisor(p)});
  else sum_repeats(context, y, x, nullptr, {{1, p.outer, p.n, p.inner}, {0, p.inner, 0, 1}, {}, divisor(p)});
}

void reduce_backward(Context& context, float* dx, const float* dy, const ReduceParams& p) {
  const int64_t width = p.inner == 1 ? p.n : p.inner, rows = p.inner == 1 ? p.outer : p.outer * p.n;
  if (rows * width == 0) return;
  context.pool().parallel_range(rows, std::max<int64_t>(1, (1 << 14) / width), [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(Spread)(dx, dy, p.n, p.inner, divisor(p), first, last);
  });
}

GRAFT_KERNEL(reduce, forward, cpu, float, ReduceForward);
GRAFT_KERNEL(reduce, backward, cpu, float, ReduceBackward);

}  // namespace graft::cpu
#endif
