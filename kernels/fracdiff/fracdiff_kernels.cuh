// y_t = sum_k w_k x_{t-k} along each series, and its transpose, formulas in fracdiff.h. The transpose is the same filter on the
// series read from its end, so there is one kernel for both.
//
// | version | accepts | what it teaches |
// |---|---|---|
// | v1 direct | all | one thread an output, two loads from the caches a product |
// | v2 sliding | 1024 values or more | a tile of a series in shared memory, seven neighbouring outputs a thread: x slides through |
// |            |                     | seven registers, so one value of x and one of w are read for seven products |
//
// fp32 and bf16 series; weights and sums are fp32.
#include "kernels/common/launch.h"
#include "kernels/common/ptx.h"
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/fracdiff/fracdiff.h"

namespace graft::GRAFT_GPU {
namespace {

enum class Filter { causal, transpose };
constexpr int kOutputs = 7;  // of a thread; odd, so that the threads of a warp read different banks
constexpr int kTileOutputs = kThreads * kOutputs, kTileTaps = 32 * kOutputs;
constexpr int64_t kLongSeries = 1024;  // from here on most threads of a v2 block have work

// Where value i of a series lies; transpose counts from the end.
template <Filter kFilter>
__device__ int64_t place(int64_t i, int64_t length) {
  return kFilter == Filter::causal ? i : length - 1 - i;
}

template <Filter kFilter, class T>
__global__ void __launch_bounds__(kThreads) fracdiff_v1(T* y, const T* x, const float* w, FracdiffParams p) {
  const int64_t i = global_thread();
  if (i >= p.series * p.length) return;
  const int64_t series = i / p.length * p.length, t = i - series;
  float sum = 0;
  for (int64_t k = 0; k < p.window && k <= t; ++k) sum = fmaf(w[k], to_float(x[series + place<kFilter>(t - k, p.length)]), sum);
  y[series + place<kFilter>(t, p.length)] = from_float<T>(sum);
}

struct TileSmem {
  float x[kTileOutputs + kTileTaps], w[kTileTaps];
};

// sum[j] += w[k] x[t + j - k] for the kOutputs taps k from `first`; x[t + j - first], j > 0, are in slot[j] before, and
// after in the same places for the next kOutputs taps. Taps from `taps` on are left out: 0 x would be NaN for an infinite x.
__device__ void slide(float (&sum)[kOutputs], float (&slot)[kOutputs], const float* x, const float* w, int taps) {
#pragma unroll
  for (int k = 0; k < kOutputs; ++k) {
    if (k >= taps) return;
    slot[(kOutputs - k) % kOutputs] = x[-k];
#pragma unroll
    for (int j = 0; j < kOutputs; ++j) sum[j] = fmaf(w[k], slot[(j + kOutputs - k) % kOutputs], sum[j]);
  }
}

template <Filter kFilter, class T>
__global__ void __launch_bounds__(kThreads) fracdiff_v2(T* y, const T* x, const float* w, FracdiffParams p) {
  auto& s = shared<TileSmem>();
  const int64_t tiles = ceil_div(p.length, kTileOutputs), series = blockIdx.x / tiles * p.length;
  const int64_t t0 = blockIdx.x % tiles * kTileOutputs;
  const int own = int(threadIdx.x) * kOutputs;
  float sum[kOutputs] = {};
  for (int64_t k0 = 0; k0 < p.window && k0 < t0 + kTileOutputs; k0 += kTileTaps) {
    __syncthreads();
    const int64_t start = t0 - k0 - kTileTaps;  // of s.x; zeros before the series
    for (int i = int(threadIdx.x); i < kTileOutputs + kTileTaps; i += kThreads) {
      const int64_t t = start + i;
      s.x[i] = t >= 0 && t < p.length ? to_float(x[series + place<kFilter>(t, p.length)]) : 0;
    }
    for (int i = int(threadIdx.x); i < kTileTaps; i += kThreads) s.w[i] = k0 + i < p.window ? w[k0 + i] : 0;
    __syncthreads();
    const int taps = int(p.window - k0 < kTileTaps ? p.window - k0 : kTileTaps);
    const float* from = s.x + own + kTileTaps;  // x[t] of this thread's first output
    float slot[kOutputs];
#pragma unroll
    for (int j = 1; j < kOutputs; ++j) slot[j] = from[j];
    int k = 0;
    for (; k + kOutputs <= taps; k += kOutputs) slide(sum, slot, from - k, s.w + k, kOutputs);
    slide(sum, slot, from - k, s.w + k, taps - k);
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kOutputs; ++j) s.x[own + j] = sum[j];
  __syncthreads();
  for (int i = int(threadIdx.x); i < kTileOutputs && t0 + i < p.length; i += kThreads)
    y[series + place<kFilter>(t0 + i, p.length)] = from_float<T>(s.x[i]);
}

template <Filter kFilter, class T>
void direct(Context& context, T* y, const T* x, const float* w, const FracdiffParams& p) {
  launch_threads(context, p.series * p.length, fracdiff_v1<kFilter, T>, y, x, w, p);
}
template <Filter kFilter, class T>
void sliding(Context& context, T* y, const T* x, const float* w, const FracdiffParams& p) {
  launch_blocks(context, p.series * ceil_div(p.length, kTileOutputs), kThreads, fracdiff_v2<kFilter, T>, y, x, w, p);
}

template <class T>
bool accepts_all(T*, const T*, const float*, const FracdiffParams&) {
  return true;
}
template <class T>
bool long_series(T*, const T*, const float*, const FracdiffParams& p) {
  return p.length >= kLongSeries;
}

template <Filter kFilter, class T>
constexpr Rung<FracdiffForward<T>> kLadder[] = {
    {{1, "direct"}, accepts_all, direct<kFilter, T>},
    {{2, "sliding"}, long_series, sliding<kFilter, T>},
};
template <class T>
constexpr auto& kForward = kLadder<Filter::causal, T>;
template <class T>
constexpr auto& kBackward = kLadder<Filter::transpose, T>;

}  // namespace

void fracdiff_forward(Context& context, float* y, const float* x, const float* weights, const FracdiffParams& p) {
  run_version(Op::fracdiff, kForward<float>, context, y, x, weights, p);
}
void fracdiff_forward(Context& context, BFloat16* y, const BFloat16* x, const float* weights, const FracdiffParams& p) {
  run_version(Op::fracdiff, kForward<BFloat16>, context, y, x, weights, p);
}
void fracdiff_backward(Context& context, float* dx, const float* dy, const float* weights, const FracdiffParams& p) {
  run_version(Op::fracdiff, kBackward<float>, context, dx, dy, weights, p);
}
void fracdiff_backward(Context& context, BFloat16* dx, const BFloat16* dy, const float* weights, const FracdiffParams& p) {
  run_version(Op::fracdiff, kBackward<BFloat16>, context, dx, dy, weights, p);
}

GRAFT_KERNEL(fracdiff, forward, GRAFT_GPU, float, FracdiffForward);
GRAFT_KERNEL(fracdiff, forward, GRAFT_GPU, BFloat16, FracdiffForward);
GRAFT_KERNEL(fracdiff, backward, GRAFT_GPU, float, FracdiffBackward);
GRAFT_KERNEL(fracdiff, backward, GRAFT_GPU, BFloat16, FracdiffBackward);
GRAFT_VERSIONS(fracdiff, forward, GRAFT_GPU, float, kForward<float>);
GRAFT_VERSIONS(fracdiff, forward, GRAFT_GPU, BFloat16, kForward<BFloat16>);
GRAFT_VERSIONS(fracdiff, backward, GRAFT_GPU, float, kBackward<float>);
GRAFT_VERSIONS(fracdiff, backward, GRAFT_GPU, BFloat16, kBackward<BFloat16>);

}  // namespace graft::GRAFT_GPU
