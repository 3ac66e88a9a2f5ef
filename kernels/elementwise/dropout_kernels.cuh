// Inverted dropout: y = x / (1 - p) or 0 x, by a random word for each element; f32 and bf16.
//
// v1 plain    one thread four elements: one Philox evaluation gives four words, and nothing is stored for the backward pass;
//             accepts all
// v2 vectors  one thread 16 bytes, read and written at once: one evaluation in f32, two in bf16. Wants addresses in units of 16
//             bytes. 8 bytes an element in f32, 4 in bf16
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/vectors.h"
#include "kernels/common/versions.h"
#include "kernels/elementwise/dropout.h"

namespace graft::GRAFT_GPU {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_v1(T* y, const T* x, Philox stream, uint32_t threshold, float scale, int64_t n) {
  const int64_t four = global_thread();
  if (4 * four >= n) return;
  const auto words = stream(uint64_t(four));
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int64_t i = 4 * four + j;
    if (i < n) y[i] = from_float<T>(to_float(x[i]) * (words[j] >> 8 < threshold ? 0.0f : scale));
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_v2(T* y, const T* x, Philox stream, uint32_t threshold, float scale, int64_t n) {
  constexpr int kWidth = kVector<T>;
  const int64_t i = global_thread() * kWidth;
  if (i >= n) return;
  const bool whole = i + kWidth <= n;
  float v[kWidth];
  if (whole) {
    load<kWidth>(v, x + i);
  } else {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[j] = i + j < n ? to_float(x[i + j]) : 0.0f;
  }
#pragma unroll
  for (int four = 0; four < kWidth / 4; ++four) {
    const auto words = stream(uint64_t(i / 4 + four));
#pragma unroll
    for (int j = 0; j < 4; ++j) v[4 * four + j] *= words[j] >> 8 < threshold ? 0.0f : scale;
  }
  if (whole) return store<kWidth>(y + i, v);
#pragma unroll
  for (int j = 0; j < kWidth; ++j)
    if (i + j < n) y[i + j] = from_float<T>(v[j]);
}

template <class T>
void run_v1(Context& context, T* y, const T* x, const DropoutParams& p) {
  launch_threads(context, ceil_div(p.n, 4), dropout_v1<T>, y, x, p.stream, dropout_threshold(p.p), float(1 / (1 - p.p)), p.n);
}
template <class T>
void run_v2(Context& context, T* y, const T* x, const DropoutParams& p) {
  launch_threads(context, ceil_div(p.n, kVector<T>), dropout_v2<T>, y, x, p.stream, dropout_threshold(p.p), float(1 / (1 - p.p)),
                 p.n);
}
template <class T>
bool supports_v2(T* y, const T* x, const DropoutParams&) {
  return aligned_16(y, x);
}

template <class T>
constexpr Rung<DropoutForward<T>> kDropout[] = {
    {{1, "plain"}, accepts_all, run_v1<T>},
    {{2, "vectors"}, supports_v2<T>, run_v2<T>},
};

}  // namespace

template <class T>
void dropout_forward(Context& context, T* y, const T* x, const DropoutParams& p) {
  run_version(Op::dropout, kDropout<T>, context, y, x, p);
}

GRAFT_GPU_KERNEL(dropout, forward, DropoutForward, kDropout);

}  // namespace graft::GRAFT_GPU
