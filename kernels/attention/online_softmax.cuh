// The softmax of rows whose scores come tile by tile (Milakov & Gimelshein 2018), on fragments of mma.sync and wgmma: of a
// tile of 16 rows, a lane 4 g + t holds columns 8 n + 2 t + e % 2 of the rows g + 8 (e / 2) in s[n][e].
#pragma once
#include "kernels/attention/heads.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr float kLog2e = 1.44269504088896340736f;

// Of the four lanes that hold a row.
__device__ inline float quad_max(float v) {
  for (int d = 1; d < 4; d *= 2) v = fmaxf(v, __shfl_xor_sync(kFullWarp, v, d));
  return v;
}
__device__ inline float quad_sum(float v) {
  for (int d = 1; d < 4; d *= 2) v += __shfl_xor_sync(kFullWarp, v, d);
  return v;
}

struct RowResult {
  float lse, by;  // the output is the sums so far times `by`
};

// Of kM tiles of rows: the maximum, of the scores as they are, and a lane's share of the sum. fmaxf passes a NaN over, but its
// exp does not, and makes the row NaN.
template <int kM>
struct OnlineSoftmax {
  float max[kM][2], sum[kM][2] = {};

  __device__ OnlineSoftmax() {
#pragma unroll
    for (int m = 0; m < kM; ++m) max[m][0] = max[m][1] = -INFINITY;
  }

  // Scores become probabilities. What was summed up before counts `faded` times; true where that is not 1. The scale, times
  // log2 e, is folded into the one multiply-add before exp2.
  template <int kN>
  __device__ bool update(float (&s)[kM][kN][4], float (&faded)[kM][2], float scale_log2) {
    bool grown = false;
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float highest = max[m][half];
#pragma unroll
        for (int n = 0; n < kN; ++n) highest = fmaxf(highest, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
        highest = quad_max(highest);
        const float shift = finite_shift(highest) * scale_log2;
        faded[m][half] = exp2_fast(fmaf(max[m][half], scale_log2, -shift));
        grown = grown || faded[m][half] != 1;
        max[m][half] = highest;
        float part = 0;
#pragma unroll
        for (int n = 0; n < kN; ++n)
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            s[m][n][e] = exp2_fast(fmaf(s[m][n][e], scale_log2, -shift));
            part += s[m][n][e];
          }
        sum[m][half] = sum[m][half] * faded[m][half] + part;
      }
    return grown;
  }

  __device__ RowResult finish(int m, int half, float scale, bool empty) const {
    const float all = quad_sum(sum[m][half]);
    return {empty ? -INFINITY : max[m][half] * scale + logf(all), empty ? 0 : 1 / all};
  }
};

}  // namespace
}  // namespace graft::GRAFT_GPU
