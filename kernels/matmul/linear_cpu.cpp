#include <algorithm>

#include "kernels/common/registry.h"
#include "kernels/elementwise/axpby.h"
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/linear.h"

namespace graft::cpu {

void linear_forward(Context& context, float* y, const float* x, const float* weight, const float* bias, const float* residual,
                    const LinearParams& p) {
  const bool relu = p.activation == Activation::relu;
  gemm(context, {.m = p.rows,
                 .n = p.out,
                 .k = p.in,
                 .a = x,
                 .a_row = p.in,
                 .a_k = 1,
                 .b = weight,
                 .b_k = 1,
                 .b_col = p.in,
                 .c = y,
                 .c_row = p.out,
                 .bias = bias,
                 .relu = relu && !residual});
  if (residual) {
    axpby_forward(context, y, residual, {1, 1, p.rows * p.out});
    if (relu) activation_forward(context, y, y, {Activation::relu, p.rows * p.out});
  }
  if (p.activation == Activation::gelu) activation_forward(context, y, y, {Activation::gelu, p.rows * p.out});
}

void linear_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const LinearParams& p) {
  const bool relu = p.activation == Activation::relu;
  const auto masked = context.scratch<float>(relu ? size_t(p.rows * p.out) : 0);
  if (relu) relu_gradient(context, masked.get(), dy, y, p.rows * p.out);
  gemm(context, {.m = p.rows,
                 .n = p.in,
                 .k = p.out,
                 .a = relu ? masked.get() : dy,
                 .a_row = p.out,
                 .a_k = 1,
                 .b = weight,
                 .b_k = p.in,
                 .b_col = 1,
                 .c = dx,
                 .c_row = p.in});
}

void linear_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                  const LinearParams& p) {
  const bool relu = p.activation == Activation::relu;
  const auto masked = context.scratch<float>(relu ? size_t(p.rows * p.out) : 0);
  if (relu) relu_gradient(context, masked.get(), dy, y, p.rows * p.out);
  const float* g = relu ? masked.get() : dy;
  gemm(context, {.m = p.out,
                 .n = p.in,
                 .k = p.rows,
                 .a = g,
                 .a_row = 1,
                 .a_k = p.out,
                 .b = x,
                 .b_k = p.in,
                 .b_col = 1,
                 .c = dweight,
                 .c_row = p.in});
  if (!dbias) return;
  std::fill_n(dbias, p.out, 0.0f);
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t o = 0; o < p.out; ++o) dbias[o] += g[r * p.out + o];
}

GRAFT_KERNEL(linear, forward, cpu, float, LinearForward);
GRAFT_KERNEL(linear, dgrad, cpu, float, LinearDgrad);
GRAFT_KERNEL(linear, wgrad, cpu, float, LinearWgrad);

}  // namespace graft::cpu
