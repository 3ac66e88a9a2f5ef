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

// e^x with the digits that T keeps.
template <class T>
__device__ inline float exp_of(float x) {
  if constexpr (sizeof(T) == 2) return exp2_fast(1.44269504f * x);
  else return expf(x);
}

// Of the logits that were added: their maximum, sum exp(x - max), and how far they lie below the maximum altogether.
struct RowSums {
  float max = -FLT_MAX;  // -INFINITY less itself would be NaN where a row begins with -INFINITY
  float exponentials = 0, below = 0, count = 0;

  // One maximum for all of v, so that the sums are rescaled once. fmaxf ignores NaN, the sums do not.
  template <class T, int kPieces, int kWidth>
  __device__ void add(const float (&v)[kPieces][kWidth]) {
    float above = v[0][0];
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
#pragma unroll
      for (int j = 0; j < kWidth; ++j) above = fmaxf(above, v[i][j]);
    rescale(fmaxf(max, above));
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
#pragma unroll
      for (int j = 0; j < kWidth; ++j) exponentials += exp_of<T>(v[i][j] - max), below += max - v[i][j];
    count += float(kPieces * kWidth);
  }
  // The logits of a row that a block shares, which may begin at any address; kAtOnce vectors of a thread are under way together.
  template <class T>
  __device__ void add_row(const T* x, int64_t classes) {
    constexpr int kWidth = kVector<T>, kAtOnce = 4;
    const WholeVectors<T> whole(x, classes);
    const int64_t step = blockDim.x * kWidth;
    const auto add_one = [&](int64_t c) {
      const float v[1][1] = {{to_float(x[c])}};
      add<T>(v);
    };
    if (threadIdx.x < whole.begin) add_one(threadIdx.x);
    int64_t c = whole.begin + threadIdx.x * kWidth;
    for (; c + (kAtOnce - 1) * step < whole.end; c += kAtOnce * step) {
      float v[kAtOnce][kWidth];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) load<kWidth>(v[i], x + c + i * step);
      add<T>(v);
    }
    for (; c < whole.end; c += step) {
      float v[1][kWidth];
      load<kWidth>(v[0], x + c);
      add<T>(v);
    }
    if (whole.end + threadIdx.x < classes) add_one(whole.end + threadIdx.x);
  }
  __device__ void rescale(float above) {
    exponentials *= expf(max - above);
    if (count > 0) below += count * (above - max);
    max = above;
  }
  // Of all threads' sums, the same in every thread.
  __device__ RowSums of_block(WarpSums<1>& maxima, WarpSums<2>& sums) const {
    RowSums all = *this;
    all.rescale(block_max(exponentials == exponentials ? max : exponentials, maxima));
    const Sums<2> s = block_sum(Sums<2>{{all.exponentials, all.below}}, sums);
    all.exponentials = s.v[0], all.below = s.v[1];
    return all;
  }
};

// dx = f(x) over a row that a block shares, in vectors likewise; x and dx equally far from a multiple of 16 bytes, or the same.
template <class T, class F>
__device__ void map_row(T* dx, const T* x, int64_t classes, F f) {
  constexpr int kWidth = kVector<T>, kAtOnce = 4;
  const WholeVectors<T> whole(x, classes);
  const int64_t step = blockDim.x * kWidth;
  const auto plain = [&](int64_t c) { dx[c] = from_float<T>(f(to_float(x[c]))); };
  const auto finish = [&](int64_t c, const uint4& packed) {
    float v[kWidth];
    unpack<T>(v, packed);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = f(v[j]);
    store<kWidth>(dx + c, v);
  };
  if (threadIdx.x < whole.begin) plain(threadIdx.x);
  int64_t c = whole.begin + threadIdx.x * kWidth;
  for (; c + (kAtOnce - 1) * step < whole.end; c += kAtOnce * step) {
    uint4 packed[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) packed[i] = load_packed(x + c + i * step);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) finish(c + i * step, packed[i]);
  }
  for (; c < whole.end; c += step) finish(c, load_packed(x + c));
  if (whole.end + threadIdx.x < classes) plain(whole.end + threadIdx.x);
}

template <class T>
__device__ void clear_padding(T* dx, int64_t classes, int64_t line) {
  for (int64_t c = classes + threadIdx.x; c < line; c += blockDim.x) dx[c] = from_float<T>(0.0f);
}

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
