// w = w (1 - lr weight_decay);  m = m + (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2
// w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon); w, m, v in f32, g and a copy of w in f32 or bf16
//
// v1 plain    multi-tensor: one launch for up to 512 tensors (kernels/optim/table.cuh), each value read and written once, one at a
//             time; accepts all
// v2 vectors  the same, 8 values a thread. Addresses in units of 16 bytes
// Rate, step and clipping come from the memory of the device where there is a StepState: nothing that a step changes is an
// argument, so a CUDA graph can replay it. 28 bytes a parameter, in f32 and, with the copy of w, in bf16.
#include <cmath>
#include <vector>

#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/table.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
struct AdamwItem {
  float* weight;
  const T* grad;
  float *mean, *square;
  T* rounded;
  int64_t n;
  float lr, decay;
};

struct AdamwConstants {
  double beta1, beta2, step;
  float new1, keep2, new2, epsilon;
  const StepState* state;
};

template <int kWidth, int kCapacity, class T>
__global__ void __launch_bounds__(kThreads)
    adamw_v1_v2(const __grid_constant__ Table<AdamwItem<T>, kCapacity> table, AdamwConstants c) {
  struct Smem {
    float lr, grad_scale, rate, correction;
  };
  auto& s = shared<Smem>();
  if (threadIdx.x == 0) {
    const StepNow now = step_now(c.state, c.step);
    s.lr = now.lr, s.grad_scale = now.grad_scale;
    s.rate = float(1 / (1 - pow(c.beta1, now.step)));
    s.correction = float(sqrt(1 - pow(c.beta2, now.step)));
  }
  __syncthreads();
  for_piece<kWidth>(table, [&]<int k>(const AdamwItem<T>& t, int64_t i) {
    const float lr = s.lr * t.lr, rate = lr * s.rate, keep = 1 - lr * t.decay;
    float g[k], mean[k], square[k], weight[k];
    load<k>(g, t.grad + i);
    load<k>(mean, t.mean + i);
    load<k>(square, t.square + i);
    load<k>(weight, t.weight + i);
#pragma unroll
    for (int j = 0; j < k; ++j) {
      const float gradient = s.grad_scale * g[j];
      mean[j] = fmaf(c.new1, gradient - mean[j], mean[j]);
      square[j] = fmaf(c.new2 * gradient, gradient, c.keep2 * square[j]);
      weight[j] = fmaf(-rate, mean[j] / (sqrtf(square[j]) / s.correction + c.epsilon), weight[j] * keep);
    }
    store<k>(t.mean + i, mean);
    store<k>(t.square + i, square);
    store<k>(t.weight + i, weight);
    if (t.rounded) store<k>(t.rounded + i, weight);
  });
}

template <int kWidth, class T>
void run(Context& context, std::span<const AdamwTensor<T>> tensors, const AdamwParams& p) {
  const AdamwConstants constants{p.beta1,          p.beta2, double(p.step), float(1 - p.beta1), float(p.beta2), float(1 - p.beta2),
                                 float(p.epsilon), p.state};
  std::vector<AdamwItem<T>> items;
  for (const auto& x : tensors)
    items.push_back({x.weight, x.grad, x.mean, x.square, x.rounded, x.n, float(x.lr), float(x.weight_decay)});
  const auto step = [&]<int kCapacity>() {
    for_tables<kCapacity>(std::span<const AdamwItem<T>>(items), [&](const auto& table, int64_t blocks) {
      launch_blocks(context, blocks, kThreads, adamw_v1_v2<kWidth, kCapacity, T>, table, constants);
    });
  };
  items.size() <= 48 ? step.template operator()<48>() : step.template operator()<512>();
}
template <class T>
bool supports_v2(std::span<const AdamwTensor<T>> tensors, const AdamwParams&) {
  for (const auto& t : tensors)
    if (!aligned_16(t.weight, t.grad, t.mean, t.square, t.rounded)) return false;
  return true;
}

template <class T>
constexpr Rung<AdamwStep<T>> kAdamw[] = {
    {{1, "plain"}, accepts_all, run<1, T>},
    {{2, "vectors"}, supports_v2<T>, run<8, T>},
};

}  // namespace

template <class T>
void adamw_step(Context& context, std::span<const AdamwTensor<T>> tensors, const AdamwParams& p) {
  run_version(Op::adamw, kAdamw<T>, context, tensors, p);
}

GRAFT_GPU_KERNEL(adamw, step, AdamwStep, kAdamw);

}  // namespace graft::GRAFT_GPU
