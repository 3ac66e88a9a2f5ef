// y = f(x weight^T + bias), f none or relu.
//
// | version | what it teaches |
// |---|---|
// | v1 | three products, one tile loop (kernels/matmul/tile.cuh): what differs is which index is innermost in memory; bias and relu in the epilogue, relu's gradient in the load |
// | v1 dbias | a sum over columns (kernels/reduce/sums.cuh) |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/matmul/linear.h"
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

}  // namespace

void linear_forward(Context& context, float* y, const float* x, const float* weight, const float* bias, const LinearParams& p) {
  tile_product(context, LinearForwardProblem{1, p.rows, p.out, p.in, y, x, weight, {bias, p.activation == Activation::relu}});
}

void linear_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const LinearParams& p) {
  const MaskedGradient gradient{dy, p.activation == Activation::relu ? y : nullptr};
  tile_product(context, LinearDgradProblem{1, p.rows, p.in, p.out, dx, gradient, weight});
}

void linear_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y, const LinearParams& p) {
  const MaskedGradient gradient{dy, p.activation == Activation::relu ? y : nullptr};
  tile_product(context, LinearWgradProblem{1, p.out, p.in, p.rows, dweight, gradient, x});
  if (dbias) sum_columns(context, 1, p.rows, p.out, LinearBiasTerm{gradient, p.out}, LinearBiasStore{dbias});
}

GRAFT_KERNEL(linear, forward, GRAFT_GPU, float, LinearForward);
GRAFT_KERNEL(linear, dgrad, GRAFT_GPU, float, LinearDgrad);
GRAFT_KERNEL(linear, wgrad, GRAFT_GPU, float, LinearWgrad);

}  // namespace graft::GRAFT_GPU
