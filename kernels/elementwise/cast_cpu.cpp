// The loops of cast_ref.h by threads. The one op that the CPU also has in bf16: a network trained elsewhere in bf16 has to be
// read here.
#include "kernels/common/half.h"
#include "kernels/common/registry.h"
#include "kernels/elementwise/cast_ref.h"

namespace graft::cpu {

constexpr int64_t kGrain = 1 << 14;

template <class T>
void cast_forward(Context& context, T* y, const Accumulate<T>* x, const CastParams& p) {
  context.pool().parallel_range(
      p.n, kGrain, [&](int64_t begin, int64_t end) { ref::cast_forward(context, y + begin, x + begin, {end - begin}); });
}

template <class T>
void cast_backward(Context& context, Accumulate<T>* dx, const T* dy, const CastParams& p) {
  context.pool().parallel_range(
      p.n, kGrain, [&](int64_t begin, int64_t end) { ref::cast_backward(context, dx + begin, dy + begin, {end - begin}); });
}

GRAFT_KERNEL(cast, forward, cpu, float, CastForward);
GRAFT_KERNEL(cast, backward, cpu, float, CastBackward);
GRAFT_KERNEL(cast, forward, cpu, BFloat16, CastForward);
GRAFT_KERNEL(cast, backward, cpu, BFloat16, CastBackward);

}  // namespace graft::cpu
