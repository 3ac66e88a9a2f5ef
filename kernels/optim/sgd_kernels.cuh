// g' = g + weight_decay w;  v = momentum v + g';  w = w - lr (nesterov ? g' + momentum v : v); w and v in f32, g and a copy of w in
// f32 or bf16
//
// v1 plain    multi-tensor: one launch for up to 512 tensors (kernels/optim/table.cuh), each value read and written once, one at a
//             time; accepts all
// v2 vectors  the same, 8 values a thread. Addresses in units of 16 bytes
// Rate and clipping come from the memory of the device where there is a StepState. 20 bytes a parameter, in f32 and, with the copy
// of w, in bf16.
#include <vector>

#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/optim/sgd.h"
#include "kernels/optim/table.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
struct SgdItem {
  float* weight;
  const T* grad;
  float* velocity;
  T* rounded;
  int64_t n;
  float lr, decay;
};
struct SgdConstants {
  float momentum;
  bool nesterov;
  const StepState* state;
};

template <int kWidth, int kCapacity, class T>
__global__ void __launch_bounds__(kThreads) sgd_v1_v2(const __grid_constant__ Table<SgdItem<T>, kCapacity> table, SgdConstants c) {
  const StepNow now = step_now(c.state, 1);
  for_piece<kWidth>(table, [&]<int k>(const SgdItem<T>& t, int64_t i) {
    float g[k], v[k], w[k];
    load<k>(g, t.grad + i);
    load<k>(w, t.weight + i);
    if (t.velocity) load<k>(v, t.velocity + i);
#pragma unroll
    for (int j = 0; j < k; ++j) {
      g[j] = fmaf(t.decay, w[j], now.grad_scale * g[j]);
      if (t.velocity) {
        v[j] = fmaf(c.momentum, v[j], g[j]);
        g[j] = c.nesterov ? fmaf(c.momentum, v[j], g[j]) : v[j];
      }
      w[j] = fmaf(-now.lr * t.lr, g[j], w[j]);
    }
    if (t.velocity) store<k>(t.velocity + i, v);
    store<k>(t.weight + i, w);
    if (t.rounded) store<k>(t.rounded + i, w);
  });
}

template <int kWidth, class T>
void run(Context& context, std::span<const SgdTensor<T>> tensors, const SgdParams& p) {
  const SgdConstants constants{float(p.momentum), p.nesterov, p.state};
  std::vector<SgdItem<T>> items;
  for (const auto& t : tensors) items.push_back({t.weight, t.grad, t.velocity, t.rounded, t.n, float(t.lr), float(t.weight_decay)});
  const auto step = [&]<int kCapacity>() {
    for_tables<kCapacity>(std::span<const SgdItem<T>>(items), [&](const auto& table, int64_t blocks) {
      launch_blocks(context, blocks, kThreads, sgd_v1_v2<kWidth, kCapacity, T>, table, constants);
    });
  };
  items.size() <= 48 ? step.template operator()<48>() : step.template operator()<512>();
}
template <class T>
bool supports_v2(std::span<const SgdTensor<T>> tensors, const SgdParams&) {
  for (const auto& t : tensors)
    if (!aligned_16(t.weight, t.grad, t.velocity, t.rounded)) return false;
  return true;
}

template <class T>
constexpr Rung<SgdStep<T>> kSgd[] = {
    {{1, "plain"}, accepts_all, run<1, T>},
    {{2, "vectors"}, supports_v2<T>, run<8, T>},
};

}  // namespace

template <class T>
void sgd_step(Context& context, std::span<const SgdTensor<T>> tensors, const SgdParams& p) {
  run_version(Op::sgd, kSgd<T>, context, tensors, p);
}

GRAFT_GPU_KERNEL(sgd, step, SgdStep, kSgd);

}  // namespace graft::GRAFT_GPU
