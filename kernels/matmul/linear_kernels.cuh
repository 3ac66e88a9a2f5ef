// y = f(x weight^T + bias + residual), f none, relu or gelu; shapes in linear.h. Its passes are the products NT, NN and TN of
// matmul's main loops, under the numbers that these have there (matmul_kernels.cuh), with an epilogue for bias and f.
//
// | version          | accepts                                 | what it teaches                                              |
// |------------------|-----------------------------------------|--------------------------------------------------------------|
// | v1 register tile | all                                     | tile.cuh: what differs between the passes is which index is  |
// |                  |                                         | innermost in memory                                          |
// | v5 vectorised    | fp32, lines in units of 16 bytes        | vectorised_loop.cuh                                          |
// | v6 mma           | as v5; in fp32 by request (rounds to    | mma_loop.cuh: tensor cores; weight gradients cut k, the      |
// |                  | tf32)                                   | number of rows, into parts (split.cuh)                       |
// | v7 wgmma         | on Hopper, c at least 64 x 64; fp32:    | wgmma_kernels.cuh; lines that are not aligned are copied     |
// |                  | forward, by request                     | (aligned.cuh)                                                |
// | v8 persistent    | as v7, bf16, c more than 128 rows, k in | persistent_kernels.cuh                                       |
// |                  | one part                                |                                                              |
// | v9 simt tma      | on Hopper, fp32, lines as in v5         | tma_kernels.cuh                                              |
//
// relu's gradient and dbias: gradient.cuh; v8 makes dbias with dweight.
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/matmul/gradient.cuh"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
MatrixProduct<T> forward_product(T* y, const T* x, const T* weight, const T* bias, const T* residual, const LinearParams& p) {
  return {y, x, weight, {1, p.rows, p.out, p.in, false, true}, bias, residual, p.activation};
}
template <class T>
MatrixProduct<T> dgrad_product(T* dx, const T* dy, const T* weight, const LinearParams& p) {
  return {dx, dy, weight, {1, p.rows, p.in, p.out, false, false}};
}
template <class T>
MatrixProduct<T> wgrad_product(T* dweight, const T* dy, const T* x, const LinearParams& p) {
  return {.c = dweight, .a = dy, .b = x, .shape = {1, p.out, p.in, p.rows, true, false}, .split = SplitK::by_shape};
}

template <class T, bool (*kSupports)(const MatrixProduct<T>&), void (*kRun)(Context&, const MatrixProduct<T>&),
          bool kSumsOfA = false, bool (*kPays)(const MatrixProduct<T>&) = nullptr>
struct By {
  static bool pays_forward(T* y, const T* x, const T* weight, const T* bias, const T* residual, const LinearParams& p) {
    return kPays(forward_product(y, x, weight, bias, residual, p));
  }
  static bool pays_dgrad(T* dx, const T* dy, const T* weight, const T*, const LinearParams& p) {
    return kPays(dgrad_product(dx, dy, weight, p));
  }
  static bool pays_wgrad(T* dweight, T*, const T* dy, const T* x, const T*, const LinearParams& p) {
    return kPays(wgrad_product(dweight, dy, x, p));
  }
  static bool supports_forward(T* y, const T* x, const T* weight, const T* bias, const T* residual, const LinearParams& p) {
    return kSupports(forward_product(y, x, weight, bias, residual, p));
  }
  static void forward(Context& context, T* y, const T* x, const T* weight, const T* bias, const T* residual,
                      const LinearParams& p) {
    kRun(context, forward_product(y, x, weight, bias, residual, p));
  }
  static bool supports_dgrad(T* dx, const T* dy, const T* weight, const T*, const LinearParams& p) {
    return kSupports(dgrad_product(dx, dy, weight, p));
  }
  static void dgrad(Context& context, T* dx, const T* dy, const T* weight, const T* y, const LinearParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, p.rows * p.out);
    kRun(context, dgrad_product<T>(dx, gradient, weight, p));
  }
  static bool supports_wgrad(T* dweight, T*, const T* dy, const T* x, const T*, const LinearParams& p) {
    return kSupports(wgrad_product(dweight, dy, x, p));
  }
  static void wgrad(Context& context, T* dweight, T* dbias, const T* dy, const T* x, const T* y, const LinearParams& p) {
    const Gradient<T> gradient(context, p.activation, dy, y, p.rows * p.out);
    auto product = wgrad_product<T>(dweight, gradient, x, p);
    if (kSumsOfA) product.sums_of_a = dbias;
    kRun(context, product);
    if (!kSumsOfA) bias_gradient<T>(context, dbias, gradient, p.rows, p.out);
  }
};
template <class T>
using Tile = By<T, supports_tile<T>, tile_product>;
using Vectorised = By<float, supports_vectorised, vectorised_product>;
template <class T>
using Mma = By<T, supports_mma, mma_product>;
template <class T>
using Wgmma = By<T, supports_wgmma, wgmma_product>;
using Persistent = By<BFloat16, supports_persistent, persistent_product, true>;
using SimtTma = By<float, supports_simt_tma, simt_tma_product, false, simt_tma_pays>;

constexpr Rung<LinearForward<float>> kForward[] = {
    {{1, "register tile"}, Tile<float>::supports_forward, Tile<float>::forward},
    {{5, "vectorised"}, Vectorised::supports_forward, Vectorised::forward},
    {{6, "mma tf32", true}, Mma<float>::supports_forward, Mma<float>::forward},
    {{7, "wgmma tf32", true}, Wgmma<float>::supports_forward, Wgmma<float>::forward},
    {{9, "simt tma"}, SimtTma::supports_forward, SimtTma::forward, SimtTma::pays_forward},
};
constexpr Rung<LinearDgrad<float>> kDgrad[] = {
    {{1, "register tile"}, Tile<float>::supports_dgrad, Tile<float>::dgrad},
    {{5, "vectorised"}, Vectorised::supports_dgrad, Vectorised::dgrad},
    {{6, "mma tf32", true}, Mma<float>::supports_dgrad, Mma<float>::dgrad},
    {{9, "simt tma"}, SimtTma::supports_dgrad, SimtTma::dgrad, SimtTma::pays_dgrad},
};
constexpr Rung<LinearWgrad<float>> kWgrad[] = {
    {{1, "register tile"}, Tile<float>::supports_wgrad, Tile<float>::wgrad},
    {{5, "vectorised"}, Vectorised::supports_wgrad, Vectorised::wgrad},
    {{6, "mma tf32", true}, Mma<float>::supports_wgrad, Mma<float>::wgrad},
    {{9, "simt tma"}, SimtTma::supports_wgrad, SimtTma::wgrad, SimtTma::pays_wgrad},
};
constexpr Rung<LinearForward<BFloat16>> kForwardBf16[] = {
    {{1, "register tile"}, Tile<BFloat16>::supports_forward, Tile<BFloat16>::forward},
    {{6, "mma bf16"}, Mma<BFloat16>::supports_forward, Mma<BFloat16>::forward},
    {{7, "wgmma bf16"}, Wgmma<BFloat16>::supports_forward, Wgmma<BFloat16>::forward},
    {{8, "persistent bf16"}, Persistent::supports_forward, Persistent::forward},
};
constexpr Rung<LinearDgrad<BFloat16>> kDgradBf16[] = {
    {{1, "register tile"}, Tile<BFloat16>::supports_dgrad, Tile<BFloat16>::dgrad},
    {{6, "mma bf16"}, Mma<BFloat16>::supports_dgrad, Mma<BFloat16>::dgrad},
    {{7, "wgmma bf16"}, Wgmma<BFloat16>::supports_dgrad, Wgmma<BFloat16>::dgrad},
    {{8, "persistent bf16"}, Persistent::supports_dgrad, Persistent::dgrad},
};
constexpr Rung<LinearWgrad<BFloat16>> kWgradBf16[] = {
    {{1, "register tile"}, Tile<BFloat16>::supports_wgrad, Tile<BFloat16>::wgrad},
    {{6, "mma bf16"}, Mma<BFloat16>::supports_wgrad, Mma<BFloat16>::wgrad},
    {{7, "wgmma bf16"}, Wgmma<BFloat16>::supports_wgrad, Wgmma<BFloat16>::wgrad},
    {{8, "persistent bf16"}, Persistent::supports_wgrad, Persistent::wgrad},
};

}  // namespace

void linear_forward(Context& context, float* y, const float* x, const float* weight, const float* bias, const float* residual,
                    const LinearParams& p) {
  run_version(Op::linear, kForward, context, y, x, weight, bias, residual, p);
}
void linear_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const LinearParams& p) {
  run_version(Op::linear, kDgrad, context, dx, dy, weight, y, p);
}
void linear_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                  const LinearParams& p) {
  run_version(Op::linear, kWgrad, context, dweight, dbias, dy, x, y, p);
}
void linear_forward(Context& context, BFloat16* y, const BFloat16* x, const BFloat16* weight, const BFloat16* bias,
                    const BFloat16* residual, const LinearParams& p) {
  run_version(Op::linear, kForwardBf16, context, y, x, weight, bias, residual, p);
}
void linear_dgrad(Context& context, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* y,
                  const LinearParams& p) {
  run_version(Op::linear, kDgradBf16, context, dx, dy, weight, y, p);
}
void linear_wgrad(Context& context, BFloat16* dweight, BFloat16* dbias, const BFloat16* dy, const BFloat16* x, const BFloat16* y,
                  const LinearParams& p) {
  run_version(Op::linear, kWgradBf16, context, dweight, dbias, dy, x, y, p);
}

GRAFT_KERNEL(linear, forward, GRAFT_GPU, float, LinearForward);
GRAFT_KERNEL(linear, dgrad, GRAFT_GPU, float, LinearDgrad);
GRAFT_KERNEL(linear, wgrad, GRAFT_GPU, float, LinearWgrad);
GRAFT_KERNEL(linear, forward, GRAFT_GPU, BFloat16, LinearForward);
GRAFT_KERNEL(linear, dgrad, GRAFT_GPU, BFloat16, LinearDgrad);
GRAFT_KERNEL(linear, wgrad, GRAFT_GPU, BFloat16, LinearWgrad);
GRAFT_VERSIONS(linear, forward, GRAFT_GPU, float, kForward);
GRAFT_VERSIONS(linear, dgrad, GRAFT_GPU, float, kDgrad);
GRAFT_VERSIONS(linear, wgrad, GRAFT_GPU, float, kWgrad);
GRAFT_VERSIONS(linear, forward, GRAFT_GPU, BFloat16, kForwardBf16);
GRAFT_VERSIONS(linear, dgrad, GRAFT_GPU, BFloat16, kDgradBf16);
GRAFT_VERSIONS(linear, wgrad, GRAFT_GPU, BFloat16, kWgradBf16);

}  // namespace graft::GRAFT_GPU
