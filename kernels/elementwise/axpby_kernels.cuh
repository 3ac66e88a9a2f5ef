// y = a x + b y; f32 and bf16.
//
// v1 plain, v2 vectors: kernels/elementwise/map.cuh. Bytes an element: 12 in f32, 6 in bf16; with b = 0 y is not read: 8 and 4
#include "kernels/common/registry.h"
#include "kernels/elementwise/axpby.h"
#include "kernels/elementwise/map.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct Scale {
  float a;
  __device__ float operator()(float x) const { return a * x; }
};
struct ScaleAndAdd {
  float a, b;
  __device__ float operator()(float x, float y) const { return fmaf(a, x, b * y); }
};

template <class T>
void run_v1(Context& context, T* y, const T* x, const AxpbyParams& p) {
  if (p.b == 0) map_plain(context, y, Scale{float(p.a)}, p.n, x);
  else map_plain(context, y, ScaleAndAdd{float(p.a), float(p.b)}, p.n, x, static_cast<const T*>(y));
}
template <class T>
void run_v2(Context& context, T* y, const T* x, const AxpbyParams& p) {
  if (p.b == 0) map_vectors(context, y, Scale{float(p.a)}, p.n, x);
  else map_vectors(context, y, ScaleAndAdd{float(p.a), float(p.b)}, p.n, x, static_cast<const T*>(y));
}
template <class T>
bool supports_v2(T* y, const T* x, const AxpbyParams&) {
  return aligned_16(y, x);
}

template <class T>
constexpr Rung<AxpbyForward<T>> kAxpby[] = {
    {{1, "plain"}, accepts_all, run_v1<T>},
    {{2, "vectors"}, supports_v2<T>, run_v2<T>},
};

}  // namespace

template <class T>
void axpby_forward(Context& context, T* y, const T* x, const AxpbyParams& p) {
  run_version(Op::axpby, kAxpby<T>, context, y, x, p);
}

GRAFT_GPU_KERNEL(axpby, forward, AxpbyForward, kAxpby);

}  // namespace graft::GRAFT_GPU
