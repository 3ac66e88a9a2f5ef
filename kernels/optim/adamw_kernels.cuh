// w = w (1 - lr weight_decay);  m = m + (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2
// w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//
// | version | what it teaches |
// |---|---|
// | v1 | multi-tensor: one launch for up to 512 tensors (kernels/optim/table.cuh), each value read and written once |
// Emulated only: no GPU has run these kernels yet.
#include <cmath>
#include <vector>

#include "kernels/common/registry.h"
#include "kernels/optim/adamw.h"
#include "kernels/optim/table.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct AdamwItem {
  float* weight;
  const float* grad;
  float *mean, *square;
  int64_t n;
  float keep, rate;
};
struct AdamwConstants {
  float new1, beta2, new2, correction, epsilon;
};

template <int kCapacity>
__global__ void __launch_bounds__(kThreads) adamw_v1(const __grid_constant__ Table<AdamwItem, kCapacity> table, AdamwConstants c) {
  for_piece(table, [=](const AdamwItem& t, int64_t i) {
    const float g = t.grad[i], old = t.mean[i];
    const float mean = fmaf(c.new1, g - old, old);
    const float square = fmaf(c.new2 * g, g, c.beta2 * t.square[i]);
    t.mean[i] = mean;
    t.square[i] = square;
    t.weight[i] = fmaf(-t.rate, mean / (sqrtf(square) / c.correction + c.epsilon), t.weight[i] * t.keep);
  });
}

}  // namespace

void adamw_step(Context& context, std::span<const AdamwTensor<float>> tensors, const AdamwParams& p) {
  const double t = double(p.step);
  const AdamwConstants constants{float(1 - p.beta1), float(p.beta2), float(1 - p.beta2), float(std::sqrt(1 - std::pow(p.beta2, t))),
                                 float(p.epsilon)};
  std::vector<AdamwItem> items;
  for (const auto& x : tensors)
    items.push_back(
        {x.weight, x.grad, x.mean, x.square, x.n, float(1 - x.lr * x.weight_decay), float(x.lr / (1 - std::pow(p.beta1, t)))});
  const auto step = [&]<int kCapacity>() {
    for_tables<kCapacity>(std::span<const AdamwItem>(items), [&](const auto& table, int64_t blocks) {
      launch_blocks(context, blocks, kThreads, adamw_v1<kCapacity>, table, constants);
    });
  };
  items.size() <= 48 ? step.template operator()<48>() : step.template operator()<512>();
}

GRAFT_KERNEL(adamw, step, GRAFT_GPU, float, AdamwStep);

}  // namespace graft::GRAFT_GPU
