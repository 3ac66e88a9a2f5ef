// y = f(x weight^T + bias), f none or relu; shapes in linear.h. The numbers are those of matmul (matmul_kernels.cuh).
//
// | version | accepts | what it teaches |
// |---|---|---|
// | v1 register tile | all | three products, one tile loop (tile.cuh): what differs is which index is innermost in memory; bias and
// relu in the epilogue, relu's gradient in the load | | v5 vectorised | lines in units of 16 bytes; gradients without relu | the
// same three as NT, NN and TN of matmul's main loop | | v6 mma tf32 | as v5, by request | the same on tensor cores | | dbias | all
// | a sum over columns (kernels/reduce/sums.cuh) | Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/product.h"
#include "kernels/matmul/tile.cuh"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// m: rows, n: out, k: in
struct LinearForwardProblem {
  static constexpr bool kAAlongK = true, kBAlongK = true;
  int64_t groups, m, n, k;
  float* y;
  const float *x, *weight;
  Epilogue epilogue;
  __device__ int64_t a_row(int64_t, int64_t i) const { return i * k; }
  __device__ int64_t a_k(int64_t, int64_t i) const { return i; }
  __device__ float a(int64_t row, int64_t i) const { return x[row + i]; }
  __device__ int64_t b_column(int64_t, int64_t j) const { return j * k; }
  __device__ int64_t b_k(int64_t, int64_t i) const { return i; }
  __device__ float b(int64_t column, int64_t i) const { return weight[column + i]; }
  __device__ void store(int64_t, int64_t i, int64_t j, float v) const { y[i * n + j] = epilogue(v, j); }
};

// m: rows, n: in, k: out
struct LinearDgradProblem {
  static constexpr bool kAAlongK = true, kBAlongK = false;
  int64_t groups, m, n, k;
  float* dx;
  MaskedGradient dy;
  const float* weight;
  __device__ int64_t a_row(int64_t, int64_t i) const { return i * k; }
  __device__ int64_t a_k(int64_t, int64_t i) const { return i; }
  __device__ float a(int64_t row, int64_t i) const { return dy(row + i); }
  __device__ int64_t b_column(int64_t, int64_t j) const { return j; }
  __device__ int64_t b_k(int64_t, int64_t i) const { return i * n; }
  __device__ float b(int64_t column, int64_t i) const { return weight[i + column]; }
  __device__ void store(int64_t, int64_t i, int64_t j, float v) const { dx[i * n + j] = v; }
};

// m: out, n: in, k: rows
struct LinearWgradProblem {
  static constexpr bool kAAlongK = false, kBAlongK = false;
  int64_t groups, m, n, k;
  float* dweight;
  MaskedGradient dy;
  const float* x;
  __device__ int64_t a_row(int64_t, int64_t i) const { return i; }
  __device__ int64_t a_k(int64_t, int64_t i) const { return i * m; }
  __device__ float a(int64_t row, int64_t i) const { return dy(i + row); }
  __device__ int64_t b_column(int64_t, int64_t j) const { return j; }
  __device__ int64_t b_k(int64_t, int64_t i) const { return i * n; }
  __device__ float b(int64_t column, int64_t i) const { return x[i + column]; }
  __device__ void store(int64_t, int64_t i, int64_t j, float v) const { dweight[i * n + j] = v; }
};

struct LinearBiasTerm {
  static constexpr int kSums = 1;
  MaskedGradient dy;
  int64_t out;
  __device__ Sums<1> operator()(int64_t, int64_t r, int64_t c) const { return {{dy(r * out + c)}}; }
};
struct LinearBiasStore {
  float* dbias;
  __device__ void operator()(int64_t, int64_t c, const Sums<1>& s) const { dbias[c] = s.v[0]; }
};

template <class... A>
bool accepts_all(A...) {
  return true;
}

void forward_v1(Context& context, float* y, const float* x, const float* weight, const float* bias, const LinearParams& p) {
  tile_product(context, LinearForwardProblem{1, p.rows, p.out, p.in, y, x, weight, {bias, p.activation == Activation::relu}});
}
void dgrad_v1(Context& context, float* dx, const float* dy, const float* weight, const float* y, const LinearParams& p) {
  const MaskedGradient gradient{dy, p.activation == Activation::relu ? y : nullptr};
  tile_product(context, LinearDgradProblem{1, p.rows, p.in, p.out, dx, gradient, weight});
}
void bias_gradient(Context& context, float* dbias, const float* dy, const float* y, const LinearParams& p) {
  const MaskedGradient gradient{dy, p.activation == Activation::relu ? y : nullptr};
  if (dbias) sum_columns(context, 1, p.rows, p.out, LinearBiasTerm{gradient, p.out}, LinearBiasStore{dbias});
}
void wgrad_v1(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
              const LinearParams& p) {
  const MaskedGradient gradient{dy, p.activation == Activation::relu ? y : nullptr};
  tile_product(context, LinearWgradProblem{1, p.out, p.in, p.rows, dweight, gradient, x});
  bias_gradient(context, dbias, dy, y, p);
}

// The three passes as NT, NN and TN.
MatrixProduct<float> as_product(float* y, const float* x, const float* weight, const float* bias, const LinearParams& p) {
  return {y, x, weight, {1, p.rows, p.out, p.in, false, true}, bias, p.activation == Activation::relu};
}
MatrixProduct<float> dgrad_product(float* dx, const float* dy, const float* weight, const LinearParams& p) {
  return {dx, dy, weight, {1, p.rows, p.in, p.out, false, false}};
}
MatrixProduct<float> wgrad_product(float* dweight, const float* dy, const float* x, const LinearParams& p) {
  return {dweight, dy, x, {1, p.out, p.in, p.rows, true, false}};
}

template <bool (*kSupports)(const MatrixProduct<float>&), void (*kRun)(Context&, const MatrixProduct<float>&)>
struct OnProducts {
  static bool fits(const MatrixProduct<float>& p) { return p.shape.m > 0 && p.shape.n > 0 && kSupports(p); }
  static bool supports_forward(float* y, const float* x, const float* weight, const float* bias, const LinearParams& p) {
    return fits(as_product(y, x, weight, bias, p));
  }
  static void forward(Context& context, float* y, const float* x, const float* weight, const float* bias, const LinearParams& p) {
    kRun(context, as_product(y, x, weight, bias, p));
  }
  static bool supports_dgrad(float* dx, const float* dy, const float* weight, const float*, const LinearParams& p) {
    return p.activation == Activation::none && fits(dgrad_product(dx, dy, weight, p));
  }
  static void dgrad(Context& context, float* dx, const float* dy, const float* weight, const float*, const LinearParams& p) {
    kRun(context, dgrad_product(dx, dy, weight, p));
  }
  static bool supports_wgrad(float* dweight, float*, const float* dy, const float* x, const float*, const LinearParams& p) {
    return p.activation == Activation::none && fits(wgrad_product(dweight, dy, x, p));
  }
  static void wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                    const LinearParams& p) {
    kRun(context, wgrad_product(dweight, dy, x, p));
    bias_gradient(context, dbias, dy, y, p);
  }
};
using Vectorised = OnProducts<supports_vectorised, vectorised_product>;
using MmaTf32 = OnProducts<supports_mma, mma_product>;

constexpr Rung<LinearForward<float>> kForward[] = {
    {{1, "register tile"}, accepts_all, forward_v1},
    {{5, "vectorised"}, Vectorised::supports_forward, Vectorised::forward},
    {{6, "mma tf32", true}, MmaTf32::supports_forward, MmaTf32::forward},
};
constexpr Rung<LinearDgrad<float>> kDgrad[] = {
    {{1, "register tile"}, accepts_all, dgrad_v1},
    {{5, "vectorised"}, Vectorised::supports_dgrad, Vectorised::dgrad},
    {{6, "mma tf32", true}, MmaTf32::supports_dgrad, MmaTf32::dgrad},
};
constexpr Rung<LinearWgrad<float>> kWgrad[] = {
    {{1, "register tile"}, accepts_all, wgrad_v1},
    {{5, "vectorised"}, Vectorised::supports_wgrad, Vectorised::wgrad},
    {{6, "mma tf32", true}, MmaTf32::supports_wgrad, MmaTf32::wgrad},
};

}  // namespace

void linear_forward(Context& context, float* y, const float* x, const float* weight, const float* bias, const LinearParams& p) {
  run_version(Op::linear, kForward, context, y, x, weight, bias, p);
}
void linear_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const LinearParams& p) {
  run_version(Op::linear, kDgrad, context, dx, dy, weight, y, p);
}
void linear_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                  const LinearParams& p) {
  run_version(Op::linear, kWgrad, context, dweight, dbias, dy, x, y, p);
}

GRAFT_KERNEL(linear, forward, GRAFT_GPU, float, LinearForward);
GRAFT_KERNEL(linear, dgrad, GRAFT_GPU, float, LinearDgrad);
GRAFT_KERNEL(linear, wgrad, GRAFT_GPU, float, LinearWgrad);
GRAFT_VERSIONS(linear, forward, GRAFT_GPU, float, kForward);
GRAFT_VERSIONS(linear, dgrad, GRAFT_GPU, float, kDgrad);
GRAFT_VERSIONS(linear, wgrad, GRAFT_GPU, float, kWgrad);

}  // namespace graft::GRAFT_GPU
