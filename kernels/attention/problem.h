// What every version of attention gets on the GPU, and the versions that stand in files of their own.
#pragma once
#include <algorithm>

#include "kernels/attention/attention.h"
#include "kernels/common/half.h"
#include "kernels/common/simt.h"

namespace graft {

// Params of a problem have q_row and kv_row as they are: a step that a kernel first had to choose would take a register.
inline AttentionParams with_steps(AttentionParams p) {
  p.q_row = p.q_step(), p.kv_row = p.kv_step();
  return p;
}

template <class T>
struct ForwardProblem {
  T* y;
  float* lse;
  const T *q, *k, *v;
  const int64_t* lengths;
  AttentionParams p;
};

// Of one query: lse, +inf where it sees no key, so that exp(s - lse) is 0; and delta = dy . y.
struct alignas(8) RowStatistics {
  float lse, delta;
};
inline constexpr int64_t kStatisticsPad = 64;  // queries of a head, rounded up with {+inf, 0}: tiles read them without a test
__host__ __device__ constexpr int64_t padded_queries(const AttentionParams& p) {
  return ceil_div(p.queries, kStatisticsPad) * kStatisticsPad;
}

template <class T>
struct BackwardProblem {
  T *dq, *dk, *dv;
  const T *dy, *q, *k, *v;
  const RowStatistics* rows;  // [batch, heads, padded_queries]
  const int64_t* lengths;
  AttentionParams p;
};

// Whether rows can be loaded by 16 bytes, given a head_dim of whole chunks.
template <class... T>
bool aligned_rows(const AttentionParams& p, const T*... arrays) {
  constexpr int64_t kElements = std::min({16 / int64_t(sizeof(T))...});
  return ((reinterpret_cast<uintptr_t>(arrays) % 16 == 0) && ...) && p.q_step() % kElements == 0 && p.kv_step() % kElements == 0;
}

}  // namespace graft

namespace graft::GRAFT_GPU {

bool supports_tiled(const AttentionParams&);
void tiled_forward(Context&, const ForwardProblem<float>&);
void tiled_forward(Context&, const ForwardProblem<BFloat16>&);
void tiled_backward(Context&, const BackwardProblem<float>&);
void tiled_backward(Context&, const BackwardProblem<BFloat16>&);

bool supports_register_tile(const ForwardProblem<float>&);
bool supports_register_tile(const BackwardProblem<float>&);
void register_tile_forward(Context&, const ForwardProblem<float>&);
void register_tile_backward(Context&, const BackwardProblem<float>&);

bool supports_mma(const ForwardProblem<BFloat16>&);
bool supports_mma(const BackwardProblem<BFloat16>&);
void mma_forward(Context&, const ForwardProblem<BFloat16>&);
void mma_backward(Context&, const BackwardProblem<BFloat16>&);

bool supports_wgmma(const ForwardProblem<BFloat16>&);
bool supports_wgmma(const BackwardProblem<BFloat16>&);
void wgmma_forward(Context&, const ForwardProblem<BFloat16>&);
void wgmma_backward(Context&, const BackwardProblem<BFloat16>&);

}  // namespace graft::GRAFT_GPU
