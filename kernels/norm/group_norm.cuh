// Version 1 of group norm and of layer norm, which is the case of one row to a sample and one group: one block a normalised set:
// mean, squares about it, result; the values come from cache the second and third time. Backward: dx by one block a set, both
// means in one sum; dweight and dbias by one sum over columns, which reads dy and x again.
#pragma once
#include "kernels/common/ptx.h"
#include "kernels/norm/norm.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// Element e of a set: its channel and its place in x.
struct GroupElement {
  int64_t c, i;
};
__device__ inline GroupElement group_element(const GroupNormParams& p, int64_t set, int64_t e) {
  const int64_t width = p.channels / p.groups, c = set % p.groups * width + e % width;
  return {c, (set / p.groups * p.rows + e / width) * p.channels + c};
}
__host__ __device__ inline int64_t group_size(const GroupNormParams& p) { return p.rows * (p.channels / p.groups); }

template <class T>
__global__ void __launch_bounds__(kThreads)
    group_norm_v1(T* y, float* mean, float* rstd, const T* x, const float* weight, const float* bias, GroupNormParams p) {
  auto& warps = shared<WarpSums<1>>();
  const int64_t set = blockIdx.x, n = group_size(p);
  Sums<1> sum{}, squares{};
  for (int64_t e = threadIdx.x; e < n; e += blockDim.x) sum += Sums<1>{{to_float(x[group_element(p, set, e).i])}};
  const float m = block_sum(sum, warps).v[0] / float(n);
  for (int64_t e = threadIdx.x; e < n; e += blockDim.x) {
    const float d = to_float(x[group_element(p, set, e).i]) - m;
    squares += Sums<1>{{d * d}};
  }
  const float s = 1.0f / sqrtf(block_sum(squares, warps).v[0] / float(n) + float(p.eps));
  if (threadIdx.x == 0) mean[set] = m, rstd[set] = s;
  for (int64_t e = threadIdx.x; e < n; e += blockDim.x) {
    const auto [c, i] = group_element(p, set, e);
    y[i] = from_float<T>((to_float(x[i]) - m) * s * (weight ? weight[c] : 1.0f) + (bias ? bias[c] : 0.0f));
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) group_norm_dx_v1(T* dx, const T* dy, const T* x, const float* weight, const float* mean,
                                                             const float* rstd, const T* others, GroupNormParams p) {
  auto& warps = shared<WarpSums<2>>();
  const int64_t set = blockIdx.x, n = group_size(p);
  const float m = mean[set], s = rstd[set];
  Sums<2> sums{};  // of g and of g xhat
  for (int64_t e = threadIdx.x; e < n; e += blockDim.x) {
    const auto [c, i] = group_element(p, set, e);
    const float g = to_float(dy[i]) * (weight ? weight[c] : 1.0f);
    sums += Sums<2>{{g, g * (to_float(x[i]) - m) * s}};
  }
  sums = block_sum(sums, warps);
  for (int64_t e = threadIdx.x; e < n; e += blockDim.x) {
    const auto [c, i] = group_element(p, set, e);
    const float g = to_float(dy[i]) * (weight ? weight[c] : 1.0f);
    const float own = s * (g - sums.v[0] / float(n) - (to_float(x[i]) - m) * s * (sums.v[1] / float(n)));
    dx[i] = from_float<T>(others ? own + to_float(others[i]) : own);
  }
}

template <class T>
struct GroupParameterTerm {
  static constexpr int kSums = 2;
  const T *dy, *x;
  const float *mean, *rstd;
  GroupNormParams p;
  __device__ Sums<2> operator()(int64_t, int64_t r, int64_t c) const {
    const int64_t set = r / p.rows * p.groups + c / (p.channels / p.groups);
    const float g = to_float(dy[r * p.channels + c]);
    return {{g * (to_float(x[r * p.channels + c]) - mean[set]) * rstd[set], g}};
  }
};
struct StoreGroupParameters {
  float *dweight, *dbias;  // null where not needed
  __device__ void operator()(int64_t, int64_t c, const Sums<2>& s) const {
    if (dweight) dweight[c] = s.v[0];
    if (dbias) dbias[c] = s.v[1];
  }
};

template <class T>
void run_group_norm(Context& context, T* y, float* mean, float* rstd, const T* x, const float* weight, const float* bias,
                    const GroupNormParams& p) {
  launch_blocks(context, p.batches * p.groups, block_threads(group_size(p)), group_norm_v1<T>, y, mean, rstd, x, weight, bias, p);
}

template <class T>
void run_group_norm_backward(Context& context, T* dx, float* dweight, float* dbias, const T* dy, const T* x, const float* weight,
                             const float* mean, const float* rstd, const T* others, const GroupNormParams& p) {
  if (dx)
    launch_blocks(context, p.batches * p.groups, block_threads(group_size(p)), group_norm_dx_v1<T>, dx, dy, x, weight, mean, rstd,
                  others, p);
  if (dweight || dbias)
    sum_columns(context, 1, p.batches * p.rows, p.channels, GroupParameterTerm<T>{dy, x, mean, rstd, p},
                StoreGroupParameters{dweight, dbias});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
