// Eight vectors of neighbouring outputs in registers while k runs: a broadcast of w_k and one load of x serve each. Where
// lanes reach over the end of a series they read `edge`, its first (last) values beside zeros.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fracdiff/fracdiff_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/fracdiff/fracdiff.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

inline constexpr int kVecs = 8;
inline constexpr int64_t kBlock = kVecs * int64_t(kLanes);

enum class Filter { causal, transpose };

int64_t Block() { return kBlock; }

// out[t ..] for the lanes of kCount vectors; edge[2 kBlock] as below.
template <Filter kFilter, int kCount, class Lanes>
HWY_INLINE void filter(float* out, const float* in, const float* w, const float* edge, int64_t t, const FracdiffParams& p,
                       Lanes lanes) {
  constexpr int64_t kWidth = kCount * int64_t(kLanes), kStep = kFilter == Filter::causal ? -1 : 1;
  const F32 d;
  VF sum[kCount];
  for (int v = 0; v < kCount; ++v) sum[v] = hn::Zero(d);
  const int64_t inside = kFilter == Filter::causal ? t + 1 : std::max<int64_t>(0, p.length - t - kWidth + 1);
  const int64_t any = kFilter == Filter::causal ? t + kWidth : p.length - t;
  int64_t k = 0;
  for (const int64_t end = std::min(p.window, inside); k < end; ++k) {
    const VF wk = hn::Set(d, w[k]);
    const float* from = in + t + kStep * k;
#pragma GCC unroll 8
    for (int v = 0; v < kCount; ++v) sum[v] = hn::MulAdd(wk, lanes.load(from + v * int64_t(kLanes)), sum[v]);
  }
  const float* zero_based = edge + kBlock - (kFilter == Filter::causal ? 0 : p.length);
  for (const int64_t end = std::min(p.window, any); k < end; ++k) {
    const VF wk = hn::Set(d, w[k]);
    const float* from = zero_based + t + kStep * k;
#pragma GCC unroll 8
    for (int v = 0; v < kCount; ++v) sum[v] = hn::MulAdd(wk, hn::LoadU(d, from + v * int64_t(kLanes)), sum[v]);
  }
  for (int v = 0; v < kCount; ++v) lanes.store(sum[v], out + t + v * int64_t(kLanes));
}

// Blocks [first, last) of kBlock outputs, counted through all series.
template <Filter kFilter>
HWY_INLINE void filter_blocks(float* out, const float* in, const float* w, const FracdiffParams& p, int64_t first, int64_t last) {
  const int64_t blocks = (p.length + kBlock - 1) / kBlock;
  float edge[2 * kBlock] = {};  // causal: zeros, then the start of the series; transpose: its end, then zeros
  int64_t edge_of = -1;
  for (int64_t b = first; b < last; ++b) {
    const int64_t s = b / blocks, t = b % blocks * kBlock;
    const float* series = in + s * p.length;
    if (s != edge_of) {
      const int64_t count = std::min(kBlock, p.length);
      kFilter == Filter::causal ? std::copy_n(series, count, edge + kBlock)
                                : std::copy_n(series + p.length - count, count, edge + kBlock - count);
      edge_of = s;
    }
    if (t + kBlock <= p.length) {
      filter<kFilter, kVecs>(out + s * p.length, series, w, edge, t, p, Whole{});
      continue;
    }
    for_vectors(p.length - t,
                [&](int64_t i, auto lanes) { filter<kFilter, 1>(out + s * p.length, series, w, edge, t + i, p, lanes); });
  }
}

void Forward(float* y, const float* x, const float* w, const FracdiffParams& p, int64_t first, int64_t last) {
  filter_blocks<Filter::causal>(y, x, w, p, first, last);
}
void Backward(float* dx, const float* dy, const float* w, const FracdiffParams& p, int64_t first, int64_t last) {
  filter_blocks<Filter::transpose>(dx, dy, w, p, first, last);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Block);
HWY_EXPORT(Forward);
HWY_EXPORT(Backward);

// f(first, last) for pieces of all blocks.
template <class F>
static void over_blocks(Context& context, const FracdiffParams& p, F f) {
  constexpr int64_t kTaskProducts = 1 << 17;  // at least this many multiply-adds a task: some microseconds
  const int64_t block = HWY_DYNAMIC_DISPATCH(Block)(), blocks = p.series * ((p.length + block - 1) / block);
  context.pool().parallel_range(blocks, std::max<int64_t>(1, kTaskProducts / (block * p.window)), f);
}

void fracdiff_forward(Context& context, float* y, const float* x, const float* weights, const FracdiffParams& p) {
  over_blocks(context, p, [&](int64_t first, int64_t last) { HWY_DYNAMIC_DISPATCH(Forward)(y, x, weights, p, first, last); });
}

void fracdiff_backward(Context& context, float* dx, const float* dy, const float* weights, const FracdiffParams& p) {
  over_blocks(context, p, [&](int64_t first, int64_t last) { HWY_DYNAMIC_DISPATCH(Backward)(dx, dy, weights, p, first, last); });
}

GRAFT_KERNEL(fracdiff, forward, cpu, float, FracdiffForward);
GRAFT_KERNEL(fracdiff, backward, cpu, float, FracdiffBackward);

}  // namespace graft::cpu
#endif
