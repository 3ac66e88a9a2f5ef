// y[o, i] = sum over k of x[o, k, i], or that divided by n: the sum or mean over one run of adjacent axes.
#pragma once
#include "kernels/common/context.h"

namespace graft {

enum class Reduce : uint8_t { sum, mean };

struct ReduceParams {
  Reduce kind;
  int64_t outer, n, inner;
};

// y[outer, inner], x[outer, n, inner].
template <class T>
using ReduceForward = void(Context&, T* y, const T* x, const ReduceParams&);
// dx[o, k, i] = dy[o, i], or that divided by n.
template <class T>
using ReduceBackward = void(Context&, T* dx, const T* dy, const ReduceParams&);

namespace cpu {
ReduceForward<float> reduce_forward;
ReduceBackward<float> reduce_backward;
}  // namespace cpu

}  // namespace graft
