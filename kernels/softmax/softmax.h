// Over the last of two dimensions, x[rows, cols]:
//   softmax      y_c = exp(x_c) / sum_j exp(x_j)          dx = y (dy - sum_j dy_j y_j)
//   log_softmax  y_c = x_c - log sum_j exp(x_j)           dx = dy - exp(y) sum_j dy_j
// computed with the row's maximum taken off first, so no finite row overflows. A NaN makes its whole row NaN.
#pragma once
#include "kernels/common/context.h"

namespace graft {

struct SoftmaxParams {
  int64_t rows, cols;
};

// y may be x.
template <class T>
using SoftmaxForward = void(Context&, T* y, const T* x, const SoftmaxParams&);
// dx may be dy.
template <class T>
using SoftmaxBackward = void(Context&, T* dx, const T* dy, const T* y, const SoftmaxParams&);

namespace cpu {
SoftmaxForward<float> softmax_forward, log_softmax_forward;
SoftmaxBackward<float> softmax_backward, log_softmax_backward;
}  // namespace cpu

}  // namespace graft
