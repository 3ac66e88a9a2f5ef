// y = a + b, a - b or a b with broadcasting; the gradient of a repeated operand is a sum over its repetitions. f32 and bf16,
// sums in f32.
//
// v1 forward  plain    one thread an element: the index of y is taken apart, strides of 0 repeat an operand; accepts all
// v2 forward  vectors  one thread 16 bytes along the last axis: the index is taken apart once for 4 elements of f32 or 8 of bf16.
//                      Wants addresses, and the last axis where anything is repeated, in units of 16 bytes. 12 bytes an element
//                      in f32, 6 in bf16; what is repeated comes from cache
// v1 backward          one sum an element of the operand in a fixed order (kernels/reduce/sums.cuh): down columns where the
//                      operand lies along the last axis (a bias), along rows otherwise
#include "kernels/common/registry.h"
#include "kernels/elementwise/binary.h"
#include "kernels/elementwise/map.cuh"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct BinaryAxes {
  int64_t dims[4], a[4], b[4];
};

struct Apply {
  Binary kind;
  __device__ float operator()(float u, float v) const { return kind == Binary::add ? u + v : kind == Binary::sub ? u - v : u * v; }
};

// Places in a and b of element i of y.
struct Places {
  int64_t a = 0, b = 0;
  __device__ Places(const BinaryAxes& axes, int64_t i) {
#pragma unroll
    for (int d = 3; d >= 0; --d) {
      const int64_t at = i % axes.dims[d];
      i /= axes.dims[d];
      a += at * axes.a[d];
      b += at * axes.b[d];
    }
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) binary_v1(T* y, const T* a, const T* b, Apply f, BinaryAxes axes, int64_t n) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const Places at(axes, i);
  y[i] = from_float<T>(f(to_float(a[at.a]), to_float(b[at.b])));
}

template <int kWidth, class T>
__device__ void load_or_repeat(float (&v)[kWidth], const T* p, bool repeated) {
  if (!repeated) return load<kWidth>(v, p);
  const float one = to_float(*p);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) v[j] = one;
}

template <class T>
__global__ void __launch_bounds__(kThreads) binary_v2(T* y, const T* a, const T* b, Apply f, BinaryAxes axes, int64_t n) {
  constexpr int kWidth = kVector<T>;
  const int64_t i = global_thread() * kWidth;
  if (i >= n) return;
  const Places at(axes, i);
  float u[kWidth], v[kWidth];
  load_or_repeat<kWidth>(u, a + at.a, axes.a[3] == 0);
  load_or_repeat<kWidth>(v, b + at.b, axes.b[3] == 0);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) u[j] = f(u[j], v[j]);
  store<kWidth>(y + i, u);
}

BinaryAxes axes_of(const BinaryParams& p, int64_t& n) {
  BinaryAxes axes;
  n = 1;
  for (size_t d = 0; d < 4; ++d) {
    axes.dims[d] = p.dims[d], axes.a[d] = p.a_strides[d], axes.b[d] = p.b_strides[d];
    n *= p.dims[d];
  }
  return axes;
}
bool nothing_repeated(const BinaryParams& p) {
  return p.dims[0] * p.dims[1] * p.dims[2] == 1 && p.a_strides[3] == 1 && p.b_strides[3] == 1;
}

template <class T>
void forward_v1(Context& context, T* y, const T* a, const T* b, const BinaryParams& p) {
  int64_t n;
  const BinaryAxes axes = axes_of(p, n);
  launch_threads(context, n, binary_v1<T>, y, a, b, Apply{p.kind}, axes, n);
}
template <class T>
bool supports_v2(T* y, const T* a, const T* b, const BinaryParams& p) {
  return aligned_16(y, a, b) && (nothing_repeated(p) || p.dims[3] % kVector<T> == 0);
}
template <class T>
void forward_v2(Context& context, T* y, const T* a, const T* b, const BinaryParams& p) {
  int64_t n;
  const BinaryAxes axes = axes_of(p, n);
  if (nothing_repeated(p)) map_vectors(context, y, Apply{p.kind}, n, a, b);
  else launch_threads(context, n / kVector<T>, binary_v2<T>, y, a, b, Apply{p.kind}, axes, n);
}

template <class T>
constexpr Rung<BinaryForward<T>> kForward[] = {
    {{1, "plain"}, accepts_all, forward_v1<T>},
    {{2, "vectors"}, supports_v2<T>, forward_v2<T>},
};

// Term k of output o: dy f at the place that is o on the kept axes and k on the summed ones.
template <class T>
struct RepeatTerm {
  static constexpr int kSums = 1;
  const T *dy, *f;  // f null: 1
  int64_t kept[4], summed[4], dy_strides[4], f_strides[4];
  int64_t inner;

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
    return {{f ? to_float(dy[i]) * to_float(f[j]) : to_float(dy[i])}};
  }
  __device__ Sums<1> operator()(int64_t o, int64_t k, int64_t i) const { return (*this)(o * inner + i, k); }
};

template <class T>
struct StoreSigned {
  T* out;
  float sign;
  int64_t inner;
  __device__ void operator()(int64_t o, const Sums<1>& s) const { out[o] = from_float<T>(sign * s.v[0]); }
  __device__ void operator()(int64_t o, int64_t i, const Sums<1>& s) const { (*this)(o* inner + i, s); }
};

template <class T>
void sum_repeats(Context& context, T* out, const T* dy, const T* f, float sign, const std::array<int64_t, 4>& dims,
                 const std::array<int64_t, 4>& strides, const std::array<int64_t, 4>& f_strides) {
  RepeatTerm<T> t{dy, f, {}, {}, {}, {}, 1};
  int64_t outputs = 1, terms = 1, step = 1;
  for (size_t d = 4; d-- > 0;) {
    t.kept[d] = strides[d] ? dims[d] : 1;
    t.summed[d] = strides[d] ? 1 : dims[d];
    t.dy_strides[d] = step;
    t.f_strides[d] = f_strides[d];
    outputs *= t.kept[d];
    terms *= t.summed[d];
    step *= dims[d];
    if (terms == 1) t.inner = outputs;  // kept axes behind the last summed one
  }
  if (outputs == 0) return;
  if (terms == 1 || t.inner == 1) sum_rows(context, outputs, terms, t, StoreSigned<T>{out, sign, 1});
  else sum_columns(context, outputs / t.inner, terms, t.inner, t, StoreSigned<T>{out, sign, t.inner});
}

}  // namespace

template <class T>
void binary_forward(Context& context, T* y, const T* a, const T* b, const BinaryParams& p) {
  run_version(Op::binary, kForward<T>, context, y, a, b, p);
}

template <class T>
void binary_backward(Context& context, T* da, T* db, const T* dy, const T* a, const T* b, const BinaryParams& p) {
  const bool product = p.kind == Binary::mul;
  const T* none = nullptr;
  if (da) sum_repeats(context, da, dy, product ? b : none, 1.0f, p.dims, p.a_strides, p.b_strides);
  if (db) sum_repeats(context, db, dy, product ? a : none, p.kind == Binary::sub ? -1.0f : 1.0f, p.dims, p.b_strides, p.a_strides);
}

GRAFT_GPU_KERNEL(binary, forward, BinaryForward, kForward);
GRAFT_KERNEL(binary, backward, GRAFT_GPU, float, BinaryBackward);
GRAFT_KERNEL(binary, backward, GRAFT_GPU, BFloat16, BinaryBackward);

}  // namespace graft::GRAFT_GPU
