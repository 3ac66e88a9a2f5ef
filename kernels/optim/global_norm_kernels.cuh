// squares = sum of x^2 over all tensors; f32 and bf16.
//
// v1 plain    two launches whatever the number of tensors up to 512 (kernels/optim/table.cuh): a block adds up its piece in f32,
// one
//             block adds up the pieces in f64; both orders are fixed by the shapes; accepts all
// v2 vectors  the same, 8 values a thread. Addresses in units of 16 bytes. 4 bytes an element in f32, 2 in bf16
#include <vector>

#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/optim/global_norm.h"
#include "kernels/optim/table.cuh"

namespace graft::GRAFT_GPU {
namespace {

template <int kWidth, int kCapacity, class T>
__global__ void __launch_bounds__(kThreads)
    global_norm_v1_v2(float* part, const __grid_constant__ Table<NormTensor<T>, kCapacity> table) {
  float sum = 0;
  for_piece<kWidth>(table, [&]<int k>(const NormTensor<T>& t, int64_t i) {
    float x[k];
    load<k>(x, t.x + i);
#pragma unroll
    for (int j = 0; j < k; ++j) sum = fmaf(x[j], x[j], sum);
  });
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) add_parts(double* squares, const float* part, int64_t parts, bool more) {
  struct Smem {
    double thread[kThreads];
  };
  auto& s = shared<Smem>();
  double sum = 0;
  for (int64_t i = threadIdx.x; i < parts; i += kThreads) sum += double(part[i]);
  s.thread[threadIdx.x] = sum;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) s.thread[threadIdx.x] += s.thread[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *squares = (more ? *squares : 0.0) + s.thread[0];
}

template <int kWidth, class T>
void run(Context& context, double* squares, std::span<const NormTensor<T>> tensors, const GlobalNormParams& p) {
  int64_t parts = 0, done = 0;
  for (const auto& t : tensors) parts += ceil_div(t.n, kPiece);
  const auto part = device_scratch<float>(context, size_t(parts));
  const auto sum = [&]<int kCapacity>() {
    for_tables<kCapacity>(tensors, [&](const auto& table, int64_t blocks) {
      launch_blocks(context, blocks, kThreads, global_norm_v1_v2<kWidth, kCapacity, T>, part.get() + done, table);
      done += blocks;
    });
  };
  tensors.size() <= 48 ? sum.template operator()<48>() : sum.template operator()<512>();
  launch_blocks(context, 1, kThreads, add_parts, squares, part.get(), parts, p.more);
}
template <class T>
bool supports_v2(double*, std::span<const NormTensor<T>> tensors, const GlobalNormParams&) {
  for (const auto& t : tensors)
    if (!aligned_16(t.x)) return false;
  return true;
}

template <class T>
constexpr Rung<GlobalNormForward<T>> kGlobalNorm[] = {
    {{1, "plain"}, accepts_all, run<1, T>},
    {{2, "vectors"}, supports_v2<T>, run<8, T>},
};

}  // namespace

template <class T>
void global_norm_forward(Context& context, double* squares, std::span<const NormTensor<T>> tensors, const GlobalNormParams& p) {
  run_version(Op::global_norm, kGlobalNorm<T>, context, squares, tensors, p);
}

GRAFT_GPU_KERNEL(global_norm, forward, GlobalNormForward, kGlobalNorm);

}  // namespace graft::GRAFT_GPU
