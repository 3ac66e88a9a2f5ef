// cross_entropy  loss = mean_n of log sum_c exp(x_nc) - sum_c q_nc x_nc;  dx = dloss / N (softmax(x) - q)
// mse            loss = mean (x - target)^2;  dx = -dtarget = 2 dloss / n (x - target)
//
// | version | what it teaches |
// |---|---|
// | v1 cross_entropy | one block a row: maximum, then sum of exponentials; the row's losses are summed in a second launch |
// | v1 backward      | one thread a value, from the row's stored maximum and log sum |
// | v1 mse           | a sum of terms (kernels/reduce/sums.cuh) |
// A label outside [0, classes) throws where the labels are in host memory, else it makes the loss NaN.
// Emulated only: no GPU has run these kernels yet.
#include "kernels/common/registry.h"
#include "kernels/loss/loss.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

__device__ inline float block_max(float v, WarpSums<1>& warps) {
  v = warp_max(v);
  if (threadIdx.x % 32 == 0) warps.v[threadIdx.x / 32][0] = v;
  __syncthreads();
  v = warps.v[0][0];
  for (unsigned w = 1; w < blockDim.x / 32; ++w) v = max_nan(v, warps.v[w][0]);
  __syncthreads();
  return v;
}

__global__ void __launch_bounds__(kThreads)
    cross_entropy_rows_v1(float* row_loss, float* normaliser, const float* x, const int64_t* labels, int64_t classes, float keep,
                          float spread) {
  struct Smem {
    WarpSums<1> max;
    WarpSums<2> sums;
  };
  auto& smem = shared<Smem>();
  const int64_t row = blockIdx.x;
  x += row * classes;
  float max = -INFINITY;
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) max = max_nan(x[c], max);
  max = block_max(max, smem.max);
  Sums<2> s{};  // exponentials, and how far the logits lie below the maximum
  for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) s += Sums<2>{{expf(x[c] - max), max - x[c]}};
  s = block_sum(s, smem.sums);
  if (threadIdx.x != 0) return;
  const float log_sum = logf(s.v[0]);
  const int64_t label = labels[row];
  const float at_label = label >= 0 && label < classes ? x[label] : NAN;
  normaliser[2 * row] = max;
  normaliser[2 * row + 1] = log_sum;
  row_loss[row] = log_sum + keep * (max - at_label) + (spread != 0.0f ? spread * s.v[1] : 0.0f);
}

__global__ void __launch_bounds__(kThreads)
    cross_entropy_backward_v1(float* dx, const float* dloss, const float* x, const float* normaliser, const int64_t* labels,
                              int64_t n, int64_t classes, float keep, float spread) {
  const int64_t i = global_thread();
  if (i >= n * classes) return;
  const int64_t row = i / classes;
  const float q = spread + (i % classes == labels[row] ? keep : 0.0f);
  dx[i] = *dloss / float(n) * (expf(x[i] - normaliser[2 * row] - normaliser[2 * row + 1]) - q);
}

struct ValueTerm {
  static constexpr int kSums = 1;
  const float* x;
  __device__ Sums<1> operator()(int64_t, int64_t k) const { return {{x[k]}}; }
};

struct SquaredErrorTerm {
  static constexpr int kSums = 1;
  const float *x, *target;
  __device__ Sums<1> operator()(int64_t, int64_t k) const {
    const float d = x[k] - target[k];
    return {{d * d}};
  }
};

struct StoreMean {
  float* loss;
  float n;
  __device__ void operator()(int64_t, const Sums<1>& s) const { *loss = s.v[0] / n; }
};

__global__ void __launch_bounds__(kThreads)
    mse_backward_v1(float* dx, float* dtarget, const float* dloss, const float* x, const float* target, int64_t n) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const float g = 2.0f * *dloss / float(n) * (x[i] - target[i]);
  if (dx) dx[i] = g;
  if (dtarget) dtarget[i] = -g;
}

}  // namespace

void cross_entropy_forward(Context& context, float* loss, float* normaliser, const float* x, const int64_t* labels,
                           const CrossEntropyParams& p) {
  if (kHostMemory) check_labels("cross_entropy", labels, p.n, p.classes);
  const auto rows = device_scratch<float>(context, size_t(p.n));
  launch_blocks(context, p.n, block_threads(p.classes), cross_entropy_rows_v1, rows.get(), normaliser, x, labels, p.classes,
                float(1 - p.smoothing), float(p.smoothing / double(p.classes)));
  sum_rows(context, 1, p.n, ValueTerm{rows.get()}, StoreMean{loss, float(p.n)});
}

void cross_entropy_backward(Context& context, float* dx, const float* dloss, const float* x, const float* normaliser,
                            const int64_t* labels, const CrossEntropyParams& p) {
  launch_threads(context, p.n * p.classes, cross_entropy_backward_v1, dx, dloss, x, normaliser, labels, p.n, p.classes,
                 float(1 - p.smoothing), float(p.smoothing / double(p.classes)));
}

void mse_forward(Context& context, float* loss, const float* x, const float* target, const MseParams& p) {
  sum_rows(context, 1, p.n, SquaredErrorTerm{x, target}, StoreMean{loss, float(p.n)});
}

void mse_backward(Context& context, float* dx, float* dtarget, const float* dloss, const float* x, const float* target,
                  const MseParams& p) {
  launch_threads(context, p.n, mse_backward_v1, dx, dtarget, dloss, x, target, p.n);
}

GRAFT_KERNEL(cross_entropy, forward, GRAFT_GPU, float, CrossEntropyForward);
GRAFT_KERNEL(cross_entropy, backward, GRAFT_GPU, float, CrossEntropyBackward);
GRAFT_KERNEL(mse, forward, GRAFT_GPU, float, MseForward);
GRAFT_KERNEL(mse, backward, GRAFT_GPU, float, MseBackward);

}  // namespace graft::GRAFT_GPU
