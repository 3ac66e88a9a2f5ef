// y = x rounded to T, and back.
//
// v1 plain, v2 vectors: kernels/elementwise/map.cuh; 8 elements a thread: 32 bytes of f32, 16 of bf16. 6 bytes an element
#include "kernels/common/registry.h"
#include "kernels/elementwise/cast.h"
#include "kernels/elementwise/map.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct Same {
  __device__ float operator()(float x) const { return x; }
};

template <class Y, class X>
void run_v1(Context& context, Y* y, const X* x, const CastParams& p) {
  map_plain(context, y, Same{}, p.n, x);
}
template <class Y, class X>
void run_v2(Context& context, Y* y, const X* x, const CastParams& p) {
  map_vectors(context, y, Same{}, p.n, x);
}
template <class Y, class X>
bool supports_v2(Y* y, const X* x, const CastParams&) {
  return aligned_16(y, x);
}

template <class T>
constexpr Rung<CastForward<T>> kForward[] = {
    {{1, "plain"}, accepts_all, run_v1<T, Accumulate<T>>},
    {{2, "vectors"}, supports_v2<T, Accumulate<T>>, run_v2<T, Accumulate<T>>},
};
template <class T>
constexpr Rung<CastBackward<T>> kBackward[] = {
    {{1, "plain"}, accepts_all, run_v1<Accumulate<T>, T>},
    {{2, "vectors"}, supports_v2<Accumulate<T>, T>, run_v2<Accumulate<T>, T>},
};

}  // namespace

template <class T>
void cast_forward(Context& context, T* y, const Accumulate<T>* x, const CastParams& p) {
  run_version(Op::cast, kForward<T>, context, y, x, p);
}
template <class T>
void cast_backward(Context& context, Accumulate<T>* dx, const T* dy, const CastParams& p) {
  run_version(Op::cast, kBackward<T>, context, dx, dy, p);
}

GRAFT_GPU_KERNEL(cast, forward, CastForward, kForward);
GRAFT_GPU_KERNEL(cast, backward, CastBackward, kBackward);

}  // namespace graft::GRAFT_GPU
