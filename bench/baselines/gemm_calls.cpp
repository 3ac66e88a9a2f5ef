#include "bench/baselines/gemm_calls.h"

#include <memory>
#include <vector>

#include "bench/baselines/fused.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/matmul.h"

namespace graft::bench {
namespace {

template <class T = float>
T* at(std::vector<void*>& args, size_t i) {
  return static_cast<T*>(args[i]);
}

Call matmul(Gemm* gemm, const MatmulParams& p) {
  return [gemm, p](Context&, std::vector<void*>& args) {
    for (int64_t i = 0; i < p.batch; ++i)
      gemm(at(args, 0) + i * p.m * p.n, at(args, 1) + i * p.m * p.k, at(args, 2) + i * p.k * p.n, p.m, p.n, p.k, p.transpose_a,
           p.transpose_b, p.write == Write::accumulate ? 1.0f : 0.0f);
  };
}

// A linear layer, and a convolution that is one for every pixel.
Call linear(Gemm* gemm, Pass pass, const LinearParams& p) {
  const bool relu = p.activation == Activation::relu;
  const auto masked = std::make_shared<std::vector<float>>(pass != Pass::forward && relu ? size_t(p.rows * p.out) : 0);
  const auto gradient = [masked, p, relu](Context& context, const float* dy, const float* y) {
    if (!relu) return dy;
    relu_mask(context.pool(), masked->data(), dy, y, p.rows * p.out);
    return static_cast<const float*>(masked->data());
  };
  switch (pass) {
    case Pass::forward:
      return [gemm, p, relu](Context& context, std::vector<void*>& args) {
        float *y = at(args, 0), *bias = at(args, 3);
        if (bias) fill_bias(context.pool(), y, bias, p.rows, p.out);
        gemm(y, at(args, 1), at(args, 2), p.rows, p.out, p.in, false, true, bias ? 1.0f : 0.0f);
        if (relu) relu_in_place(context.pool(), y, p.rows * p.out);
      };
    case Pass::dgrad:
      return [gemm, p, gradient](Context& context, std::vector<void*>& args) {
        gemm(at(args, 0), gradient(context, at(args, 1), at(args, 3)), at(args, 2), p.rows, p.in, p.out, false, false, 0);
      };
    default:
      return [gemm, p, gradient](Context& context, std::vector<void*>& args) {
        const float* dy = gradient(context, at(args, 2), at(args, 4));
        if (at(args, 1)) column_sums(at(args, 1), dy, p.rows, p.out);
        gemm(at(args, 0), dy, at(args, 3), p.out, p.in, p.rows, true, false, 0);
      };
  }
}

}  // namespace

Call gemm_call(Gemm* gemm, const harness::Case& c) {
  if (const auto* p = params_of<MatmulParams>(c)) return matmul(gemm, *p);
  if (const auto* p = params_of<LinearParams>(c)) {
    if (c.pass == Pass::forward && c.args[4].role != harness::Arg::absent) return {};  // a residual
    return linear(gemm, c.pass, *p);
  }
  const auto* p = params_of<Conv2dParams>(c);
  if (!p || c.op != Op::conv2d || p->kh != 1 || p->kw != 1 || p->stride != 1 || p->padding != 0 || p->groups != 1) return {};
  if (c.pass == Pass::dgrad && c.args[4].role != harness::Arg::absent) return {};  // another gradient
  const Call call = linear(gemm, c.pass, {p->n * p->h * p->w, p->c_in, p->c_out, p->activation});
  if (c.pass != Pass::forward) return call;
  if (c.args[1].role != harness::Arg::absent || c.args[5].role != harness::Arg::absent) return {};  // statistics, a residual
  return [call](Context& context, std::vector<void*>& args) {
    std::vector<void*> of_linear{args[0], args[2], args[3], args[4]};
    call(context, of_linear);
  };
}

}  // namespace graft::bench
