// y = f(x weight^T + bias + residual), f none, relu or gelu; other activations are an op of their own (kernels/elementwise).
// gelu has no gradient here: it needs what came before f, which is not kept.
#pragma once
#include "kernels/common/context.h"
#include "kernels/elementwise/activation.h"

namespace graft {

struct LinearParams {
  int64_t rows, in, out;
  Activation activation = Activation::none;  // none, relu or (forward only) gelu
};

// y[rows, out], x[rows, in], weight[out, in], bias[out] or null, residual[rows, out] or null (it may not be y).
template <class T>
using LinearForward = void(Context&, T* y, const T* x, const T* weight, const T* bias, const T* residual, const LinearParams&);
// dx[rows, in] from dy[rows, out]. y[rows, out] is read for relu only: dy counts where y > 0 (or y is NaN).
template <class T>
using LinearDgrad = void(Context&, T* dx, const T* dy, const T* weight, const T* y, const LinearParams&);
// dweight[out, in], dbias[out] or null; both overwritten.
template <class T>
using LinearWgrad = void(Context&, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const LinearParams&);

namespace cpu {
LinearForward<float> linear_forward;
LinearDgrad<float> linear_dgrad;
LinearWgrad<float> linear_wgrad;
}  // namespace cpu

}  // namespace graft
