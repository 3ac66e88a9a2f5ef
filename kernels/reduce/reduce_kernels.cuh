// y[o, i] = sum over k of x[o, k, i], or the mean; f32 and bf16, sums in f32.
//
// v1 forward   along the last axis: threads stride, warps shuffle, one number a warp meets in shared memory; along another
//              axis a warp keeps 32 neighbours (kernels/reduce/sums.cuh)
// v1 backward  one thread an element: a broadcast
#include "kernels/common/ptx.h"
#include "kernels/common/registry.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
struct ReduceTerm {
  static constexpr int kSums = 1;
  const T* x;
  int64_t n, inner;
  __device__ Sums<1> operator()(int64_t o, int64_t k) const { return {{to_float(x[o * n + k])}}; }
  __device__ Sums<1> operator()(int64_t o, int64_t k, int64_t i) const { return {{to_float(x[(o * n + k) * inner + i])}}; }
};

template <class T>
struct ReduceStore {
  T* y;
  float divisor;
  int64_t inner;
  __device__ void operator()(int64_t o, const Sums<1>& s) const { y[o] = from_float<T>(s.v[0] / divisor); }
  __device__ void operator()(int64_t o, int64_t i, const Sums<1>& s) const { y[o * inner + i] = from_float<T>(s.v[0] / divisor); }
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    reduce_backward_v1(T* dx, const T* dy, float divisor, int64_t n, int64_t inner, int64_t size) {
  const int64_t i = global_thread();
  if (i < size) dx[i] = from_float<T>(to_float(dy[i / inner / n * inner + i % inner]) / divisor);
}

float reduce_divisor(const ReduceParams& p) { return p.kind == Reduce::mean ? float(p.n) : 1.0f; }

}  // namespace

template <class T>
void reduce_forward(Context& context, T* y, const T* x, const ReduceParams& p) {
  const ReduceTerm<T> term{x, p.n, p.inner};
  const ReduceStore<T> store{y, reduce_divisor(p), p.inner};
  if (p.inner == 1) sum_rows(context, p.outer, p.n, term, store);
  else sum_columns(context, p.outer, p.n, p.inner, term, store);
}

template <class T>
void reduce_backward(Context& context, T* dx, const T* dy, const ReduceParams& p) {
  const int64_t size = p.outer * p.n * p.inner;
  launch_threads(context, size, reduce_backward_v1<T>, dx, dy, reduce_divisor(p), p.n, p.inner, size);
}

GRAFT_KERNEL(reduce, forward, GRAFT_GPU, float, ReduceForward);
GRAFT_KERNEL(reduce, forward, GRAFT_GPU, BFloat16, ReduceForward);
GRAFT_KERNEL(reduce, backward, GRAFT_GPU, float, ReduceBackward);
GRAFT_KERNEL(reduce, backward, GRAFT_GPU, BFloat16, ReduceBackward);

}  // namespace graft::GRAFT_GPU
