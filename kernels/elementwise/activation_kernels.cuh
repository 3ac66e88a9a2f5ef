// y = f(x) and dx = dy f'(x), formulas in activation.h.
//   v1  one element a thread and pass, stride of the whole grid: coalesced, memory-bound; accepts all
#include "kernels/common/registry.h"
#include "kernels/common/simt.h"
#include "kernels/elementwise/activation.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kThreads = 256;

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
__global__ void __launch_bounds__(kThreads) activation_forward_v1(float* y, const float* x, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) y[i] = activate<kKind>(x[i]);
}

template <Activation kKind>
__global__ void __launch_bounds__(kThreads) activation_backward_v1(float* dx, const float* dy, const float* x, int64_t n) {
  for (int64_t i = global_thread(); i < n; i += global_threads()) dx[i] = dy[i] * derivative<kKind>(x[i]);
}

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

}  // namespace

void activation_forward(Context& context, float* y, const float* x, const ActivationParams& p) {
  if (p.n == 0) return;
  with_kind(p.kind, [&]<Activation kKind>() {
    launch(activation_forward_v1<kKind>, blocks_for(p.n, kThreads), kThreads, 0, context, y, x, p.n);
  });
}

void activation_backward(Context& context, float* dx, const float* dy, const float* x, const ActivationParams& p) {
  if (p.n == 0) return;
  with_kind(p.kind, [&]<Activation kKind>() {
    launch(activation_backward_v1<kKind>, blocks_for(p.n, kThreads), kThreads, 0, context, dx, dy, x, p.n);
  });
}

GRAFT_KERNEL(activation, forward, GRAFT_GPU, float, ActivationForward);
GRAFT_KERNEL(activation, backward, GRAFT_GPU, float, ActivationBackward);

}  // namespace graft::GRAFT_GPU
