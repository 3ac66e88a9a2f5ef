// What the cross-entropy kernels share: the numbers of one row of logits, and its loss.
#pragma once
#include <cfloat>

#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/loss/loss.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// q = keep at the label, and spread everywhere.
struct Smoothing {
  float keep, spread;
  explicit Smoothing(const CrossEntropyParams& p) : keep(float(1 - p.smoothing)), spread(float(p.smoothing / double(p.classes))) {}
  __device__ float operator()(bool at_label) const { return spread + (at_label ? keep : 0.0f); }
};

__device__ inline float block_max(float v, WarpSums<1>& warps) {
  v = warp_max(v);
  if (threadIdx.x % 32 == 0) warps.v[threadIdx.x / 32][0] = v;
  __syncthreads();
  v = warps.v[0][0];
  for (unsigned w = 1; w < blockDim.x / 32; ++w) v = max_nan(v, warps.v[w][0]);
  __syncthreads();
  return v;
}

// Of the logits that were added: their maximum, sum exp(x - max), and how far they lie below the maximum altogether.
struct RowSums {
  float max = -FLT_MAX;  // -INFINITY less itself would be NaN where a row begins with -INFINITY
  float exponentials = 0, below = 0, count = 0;

  // One maximum for all of v, so that the sums are rescaled once.
  template <int kWidth>
  __device__ void add(const float (&v)[kWidth]) {
    float above = max;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) above = max_nan(above, v[j]);
    rescale(above);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) exponentials += expf(v[j] - max), below += max - v[j];
    count += float(kWidth);
  }
  __device__ void rescale(float above) {
    exponentials *= expf(max - above);
    if (count > 0) below += count * (above - max);
    max = above;
  }
  // Of all threads' sums, the same in every thread.
  __device__ RowSums of_block(WarpSums<1>& maxima, WarpSums<2>& sums) const {
    RowSums all = *this;
    all.rescale(block_max(max, maxima));
    const Sums<2> s = block_sum(Sums<2>{{all.exponentials, all.below}}, sums);
    all.exponentials = s.v[0], all.below = s.v[1];
    return all;
  }
};

__device__ inline float row_loss_of(const RowSums& row, float at_label, Smoothing q) {
  return logf(row.exponentials) + q.keep * (row.max - at_label) + (q.spread != 0.0f ? q.spread * row.below : 0.0f);
}

template <class T>
__device__ void store_row(float* row_loss, float* normaliser, const RowSums& row, const T* x, const int64_t* labels,
                          int64_t classes, Smoothing q) {
  const int64_t label = labels[blockIdx.x];
  normaliser[2 * blockIdx.x] = row.max;
  normaliser[2 * blockIdx.x + 1] = logf(row.exponentials);
  row_loss[blockIdx.x] = row_loss_of(row, label >= 0 && label < classes ? to_float(x[label]) : NAN, q);
}

struct ValueTerm {
  static constexpr int kSums = 1;
  const float* x;
  __device__ Sums<1> operator()(int64_t, int64_t k) const { return {{x[k]}}; }
};
struct StoreMean {
  float* loss;
  float n;
  __device__ void operator()(int64_t, const Sums<1>& s) const { *loss = s.v[0] / n; }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
