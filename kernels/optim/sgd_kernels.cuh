// g' = g + weight_decay w;  v = momentum v + g';  w = w - lr (nesterov ? g' + momentum v : v)
//
// | version | what it teaches |
// |---|---|
// | v1 | multi-tensor: one launch for up to 512 tensors (kernels/optim/table.cuh), each value read and written once |
// Emulated only: no GPU has run these kernels yet.
#include <vector>

#include "kernels/common/registry.h"
#include "kernels/optim/sgd.h"
#include "kernels/optim/table.cuh"

namespace graft::GRAFT_GPU {
namespace {

struct SgdItem {
  float* weight;
  const float* grad;
  float* velocity;
  int64_t n;
  float lr, decay;
};

template <int kCapacity>
__global__ void __launch_bounds__(kThreads)
    sgd_v1(const __grid_constant__ Table<SgdItem, kCapacity> table, float momentum, bool nesterov) {
  for_piece(table, [=](const SgdItem& t, int64_t i) {
    const float w = t.weight[i];
    float g = fmaf(t.decay, w, t.grad[i]);
    if (t.velocity) {
      const float v = fmaf(momentum, t.velocity[i], g);
      t.velocity[i] = v;
      g = nesterov ? fmaf(momentum, v, g) : v;
    }
    t.weight[i] = fmaf(-t.lr, g, w);
  });
}

}  // namespace

void sgd_step(Context& context, std::span<const SgdTensor<float>> tensors, const SgdParams& p) {
  std::vector<SgdItem> items;
  for (const auto& t : tensors) items.push_back({t.weight, t.grad, t.velocity, t.n, float(t.lr), float(t.weight_decay)});
  const auto step = [&]<int kCapacity>() {
    for_tables<kCapacity>(std::span<const SgdItem>(items), [&](const auto& table, int64_t blocks) {
      launch_blocks(context, blocks, kThreads, sgd_v1<kCapacity>, table, float(p.momentum), p.nesterov);
    });
  };
  items.size() <= 48 ? step.template operator()<48>() : step.template operator()<512>();
}

GRAFT_KERNEL(sgd, step, GRAFT_GPU, float, SgdStep);

}  // namespace graft::GRAFT_GPU
