// y = f(x) and dx = dy f'(x), formulas in activation.h; f32 and bf16.
//
// v1 plain, v2 vectors: kernels/elementwise/map.cuh. Bytes an element: forward 8 in f32, 4 in bf16; backward 12 and 6, with the
// bias gradient too (kernels/reduce/vector_columns.cuh)
#include "kernels/common/registry.h"
#include "kernels/elementwise/activation.h"
#include "kernels/elementwise/map.cuh"
#include "kernels/reduce/vector_columns.cuh"

namespace graft::GRAFT_GPU {
namespace {

// gelu_tanh is x sigmoid(2 u): 2 u, and its derivative.
__device__ inline float gelu_tanh_argument(float x) { return 1.5957691f * x * (1 + 0.044715f * x * x); }
__device__ inline float gelu_tanh_slope(float x) { return 1.5957691f * (1 + 0.134145f * x * x); }

template <Activation kKind>
__device__ float activate(float x) {
  if constexpr (kKind == Activation::relu) return x < 0 ? 0 : x;  // keeps NaN, unlike fmaxf
  if constexpr (kKind == Activation::relu6) return x < 0 ? 0 : x > 6 ? 6 : x;
  if constexpr (kKind == Activation::gelu) return 0.5f * x * erfcf(-0.70710678f * x);
  if constexpr (kKind == Activation::silu) return x / (1 + expf(-x));
  if constexpr (kKind == Activation::tanh) return tanhf(x);
  if constexpr (kKind == Activation::sigmoid) return 1 / (1 + expf(-x));
  if constexpr (kKind == Activation::gelu_tanh) return x / (1 + expf(-gelu_tanh_argument(x)));
  return x;
}

template <Activation kKind>
__device__ float derivative(float x) {
  if constexpr (kKind == Activation::relu) return x > 0 ? 1 : 0;
  if constexpr (kKind == Activation::relu6) return x > 0 && x < 6 ? 1 : 0;
  if constexpr (kKind == Activation::gelu) return 0.5f * erfcf(-0.70710678f * x) + x * expf(-0.5f * x * x) * 0.39894228f;
  if constexpr (kKind == Activation::silu) {
    const float s = 1 / (1 + expf(-x));
    return s * (1 + x * (1 - s));
  }
  if constexpr (kKind == Activation::tanh) {
    const float t = tanhf(x);
    return 1 - t * t;
  }
  if constexpr (kKind == Activation::sigmoid) {
    const float s = 1 / (1 + expf(-x));
    return s * (1 - s);
  }
  if constexpr (kKind == Activation::gelu_tanh) {
    const float s = 1 / (1 + expf(-gelu_tanh_argument(x)));
    return s * (1 + x * (1 - s) * gelu_tanh_slope(x));
  }
  return 1;
}

template <Activation kKind>
struct Activate {
  __device__ float operator()(float x) const { return activate<kKind>(x); }
};
template <Activation kKind>
struct ActivateBackward {
  __device__ float operator()(float dy, float x) const { return dy * derivative<kKind>(x); }
};

// dx on the way to the bias gradient, which is the sum of what is not rounded yet.
template <Activation kKind, int kValues, class T>
struct GradientVector {
  static constexpr int kWidth = kValues;
  struct Packed {
    PackedValues<kWidth, T> dy, x;
  };
  T* dx;
  const T *dy, *x;
  __device__ Packed fetch(int64_t at) const { return {fetch_packed<kWidth>(dy + at), fetch_packed<kWidth>(x + at)}; }
  __device__ void values(float (&v)[kWidth], const Packed& packed, int64_t at) const {
    float g[kWidth];
    unpack_values<T>(g, packed.dy);
    unpack_values<T>(v, packed.x);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = g[j] * derivative<kKind>(v[j]);
    store<kWidth>(whole(dx + at), v);
  }
};

template <class F>
void with_kind(Activation kind, F f) {
  switch (kind) {
    case Activation::none: return f.template operator()<Activation::none>();
    case Activation::relu: return f.template operator()<Activation::relu>();
    case Activation::relu6: return f.template operator()<Activation::relu6>();
    case Activation::gelu: return f.template operator()<Activation::gelu>();
    case Activation::silu: return f.template operator()<Activation::silu>();
    case Activation::tanh: return f.template operator()<Activation::tanh>();
    case Activation::sigmoid: return f.template operator()<Activation::sigmoid>();
    case Activation::gelu_tanh: return f.template operator()<Activation::gelu_tanh>();
  }
}

template <class T>
void forward_v1(Context& context, T* y, const T* x, const ActivationParams& p) {
  with_kind(p.kind, [&]<Activation kKind>() { map_plain(context, y, Activate<kKind>{}, p.n, x); });
}
template <class T>
void forward_v2(Context& context, T* y, const T* x, const ActivationParams& p) {
  with_kind(p.kind, [&]<Activation kKind>() { map_vectors(context, y, Activate<kKind>{}, p.n, x); });
}
template <class T>
bool supports_forward_v2(T* y, const T* x, const ActivationParams&) {
  return aligned_16(y, x);
}
template <class T>
void backward_v1(Context& context, T* dx, T* dbias, const T* dy, const T* x, const ActivationParams& p) {
  with_kind(p.kind, [&]<Activation kKind>() {
    if (!dbias || p.columns == 0) return map_plain(context, dx, ActivateBackward<kKind>{}, p.n, dy, x);
    sum_vector_columns(context, dbias, p.n / p.columns, p.columns, GradientVector<kKind, 1, T>{dx, dy, x});
  });
}
template <class T>
void backward_v2(Context& context, T* dx, T* dbias, const T* dy, const T* x, const ActivationParams& p) {
  with_kind(p.kind, [&]<Activation kKind>() {
    if (!dbias || p.columns == 0) return map_vectors(context, dx, ActivateBackward<kKind>{}, p.n, dy, x);
    sum_vector_columns(context, dbias, p.n / p.columns, p.columns, GradientVector<kKind, kVector<T>, T>{dx, dy, x});
  });
}
template <class T>
bool supports_backward_v2(T* dx, T* dbias, const T* dy, const T* x, const ActivationParams& p) {
  return aligned_16(dx, dy, x) && (!dbias || p.columns % kVector<T> == 0);
}

template <class T>
constexpr Rung<ActivationForward<T>> kForward[] = {
    {{1, "plain"}, accepts_all, forward_v1<T>},
    {{2, "vectors"}, supports_forward_v2<T>, forward_v2<T>},
};
template <class T>
constexpr Rung<ActivationBackward<T>> kBackward[] = {
    {{1, "plain"}, accepts_all, backward_v1<T>},
    {{2, "vectors"}, supports_backward_v2<T>, backward_v2<T>},
};

}  // namespace

template <class T>
void activation_forward(Context& context, T* y, const T* x, const ActivationParams& p) {
  run_version(Op::activation, kForward<T>, context, y, x, p);
}
template <class T>
void activation_backward(Context& context, T* dx, T* dbias, const T* dy, const T* x, const ActivationParams& p) {
  run_version(Op::activation, kBackward<T>, context, dx, dbias, dy, x, p);
}

GRAFT_GPU_KERNEL(activation, forward, ActivationForward, kForward);
GRAFT_GPU_KERNEL(activation, backward, ActivationBackward, kBackward);

}  // namespace graft::GRAFT_GPU
