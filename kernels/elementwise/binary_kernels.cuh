// y = a + b, a - b or a b with broadcasting; the gradient of a repeated operand is a sum over its repetitions.
//
// | version | what it teaches |
// |---|---|
// | v1 forward  | one thread an element: the index of y is taken apart, strides of 0 repeat an operand |
// | v1 backward | one sum an element of the operand (kernels/reduce/sums.cuh), the repetitions in a fixed order |
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/elementwise/binary.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct BinaryAxes {
  int64_t dims[4], a[4], b[4];
};

__global__ void __launch_bounds__(kThreads)
    binary_v1(float* y, const float* a, const float* b, Binary kind, BinaryAxes axes, int64_t n) {
  const int64_t i = global_thread();
  if (i >= n) return;
  int64_t rest = i, ia = 0, ib = 0;
#pragma unroll
  for (int d = 3; d >= 0; --d) {
    const int64_t at = rest % axes.dims[d];
    rest /= axes.dims[d];
    ia += at * axes.a[d];
    ib += at * axes.b[d];
  }
  const float u = a[ia], v = b[ib];
  y[i] = kind == Binary::add ? u + v : kind == Binary::sub ? u - v : u * v;
}

// Term k of output o: dy f at the place that is o on the kept axes and k on the summed ones.
struct RepeatTerm {
  static constexpr int kSums = 1;
  const float *dy, *f;  // f null: 1
  int64_t kept[4], summed[4], dy_strides[4], f_strides[4];

  __device__ Sums<1> operator()(int64_t o, int64_t k) const {
    int64_t i = 0, j = 0;
#pragma unroll
    for (int d = 3; d >= 0; --d) {
      const int64_t at = kept[d] > 1 ? o % kept[d] : k % summed[d];
      if (kept[d] > 1) o /= kept[d];
      else k /= summed[d];
      i += at * dy_strides[d];
      j += at * f_strides[d];
    }
    return {{f ? dy[i] * f[j] : dy[i]}};
  }
};

struct StoreSigned {
  float* out;
  float sign;
  __device__ void operator()(int64_t o, const Sums<1>& s) const { out[o] = sign * s.v[0]; }
};

void sum_repeats(Context& context, float* out, const float* dy, const float* f, float sign, const std::array<int64_t, 4>& dims,
                 const std::array<int64_t, 4>& strides, const std::array<int64_t, 4>& f_strides) {
  RepeatTerm t{dy, f, {}, {}, {}, {}};
  int64_t outputs = 1, terms = 1, step = 1;
  for (size_t d = 4; d-- > 0;) {
    t.kept[d] = strides[d] ? dims[d] : 1;
    t.summed[d] = strides[d] ? 1 : dims[d];
    t.dy_strides[d] = step;
    t.f_strides[d] = f_strides[d];
    outputs *= t.kept[d];
    terms *= t.summed[d];
    step *= dims[d];
  }
  sum_rows(context, outputs, terms, t, StoreSigned{out, sign});
}

}  // namespace

void binary_forward(Context& context, float* y, const float* a, const float* b, const BinaryParams& p) {
  BinaryAxes axes;
  int64_t n = 1;
  for (size_t d = 0; d < 4; ++d) {
    axes.dims[d] = p.dims[d], axes.a[d] = p.a_strides[d], axes.b[d] = p.b_strides[d];
    n *= p.dims[d];
  }
  launch_threads(context, n, binary_v1, y, a, b, p.kind, axes, n);
}

void binary_backward(Context& context, float* da, float* db, const float* dy, const float* a, const float* b,
                     const BinaryParams& p) {
  const bool product = p.kind == Binary::mul;
  if (da) sum_repeats(context, da, dy, product ? b : nullptr, 1.0f, p.dims, p.a_strides, p.b_strides);
  if (db)
    sum_repeats(context, db, dy, product ? a : nullptr, p.kind == Binary::sub ? -1.0f : 1.0f, p.dims, p.b_strides, p.a_strides);
}

GRAFT_KERNEL(binary, forward, GRAFT_GPU, float, BinaryForward);
GRAFT_KERNEL(binary, backward, GRAFT_GPU, float, BinaryBackward);

}  // namespace graft::GRAFT_GPU
