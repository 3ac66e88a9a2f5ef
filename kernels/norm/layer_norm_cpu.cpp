// Layer norm: vectors along a row. dweight and dbias sum over rows: chunks cut by shape, added in order in double.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/layer_norm_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <cmath>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/common/simd_math.h"
#include "kernels/norm/norm.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// A null weight or bias reads as `otherwise`.
template <class Lanes>
HWY_INLINE VF load_or_set(const float* p, int64_t c, Lanes lanes, float otherwise) {
  return p ? lanes.load(p + c) : hn::Set(F32(), otherwise);
}

void LayerNormRow(float* y, float* mean, float* rstd, const float* x, const float* weight, const float* bias, int64_t channels,
                  double eps) {
  const F32 d;
  VF sum = hn::Zero(d), error = hn::Zero(d), squares = hn::Zero(d);
  for_vectors(channels, [&](int64_t c, auto lanes) { sum = hn::Add(sum, lanes.load(x + c)); });
  const VF rough = hn::Set(d, sum_lanes(sum) / float(channels));
  for_vectors(channels, [&](int64_t c, auto lanes) {  // as in channel_norm_cpu.cpp: the sum of d corrects the mean
    const VF off = hn::Sub(lanes.load_or(x + c, rough), rough);
    error = hn::Add(error, off);
    squares = hn::MulAdd(off, off, squares);
  });
  const double correction = double(sum_lanes(error)) / double(channels);
  const double var = double(sum_lanes(squares)) / double(channels) - correction * correction;
  const double m = double(hn::GetLane(rough)) + correction, s = 1 / std::sqrt(std::max(var, 0.0) + eps);
  *mean = float(m);
  *rstd = float(var == var ? s : var);  // max above swallows NaN
  const VF center = hn::Set(d, *mean), rest = hn::Set(d, float(m - double(*mean))), scale = hn::Set(d, *rstd);
  for_vectors(channels, [&](int64_t c, auto lanes) {
    const VF xhat = hn::Mul(hn::Sub(hn::Sub(lanes.load(x + c), center), rest), scale);
    lanes.store(hn::MulAdd(xhat, load_or_set(weight, c, lanes, 1), load_or_set(bias, c, lanes, 0)), y + c);
  });
}

void LayerNormRowGradient(float* dx, const float* dy, const float* x, const float* weight, float mean, float rstd,
                          const float* others, int64_t channels) {
  const F32 d;
  const VF center = hn::Set(d, mean), scale = hn::Set(d, rstd);
  VF sum_g = hn::Zero(d), sum_gx = hn::Zero(d);
  for_vectors(channels, [&](int64_t c, auto lanes) {
    const VF g = hn::Mul(lanes.load(dy + c), load_or_set(weight, c, lanes, 1));
    sum_g = hn::Add(sum_g, g);
    sum_gx = hn::MulAdd(g, hn::Mul(hn::Sub(lanes.load(x + c), center), scale), sum_gx);
  });
  const VF mean_g = hn::Set(d, sum_lanes(sum_g) / float(channels)), mean_gx = hn::Set(d, sum_lanes(sum_gx) / float(channels));
  for_vectors(channels, [&](int64_t c, auto lanes) {
    const VF g = hn::Mul(lanes.load(dy + c), load_or_set(weight, c, lanes, 1));
    const VF xhat = hn::Mul(hn::Sub(lanes.load(x + c), center), scale);
    const VF own = hn::Mul(scale, hn::NegMulAdd(xhat, mean_gx, hn::Sub(g, mean_g)));
    lanes.store(others ? hn::Add(own, lanes.load(others + c)) : own, dx + c);
  });
}

// dweight[C] and dbias[C] of rows [begin, end).
void LayerNormParameters(float* dweight, float* dbias, const float* dy, const float* x, const float* mean, const float* rstd,
                         int64_t begin, int64_t end, int64_t channels) {
  const F32 d;
  for_vectors(channels, [&](int64_t c, auto lanes) {
    VF w = hn::Zero(d), b = hn::Zero(d);
    for (int64_t r = begin; r < end; ++r) {
      const VF g = lanes.load(dy + r * channels + c);
      const VF xhat = hn::Mul(hn::Sub(lanes.load(x + r * channels + c), hn::Set(d, mean[r])), hn::Set(d, rstd[r]));
      w = hn::MulAdd(g, xhat, w);
      b = hn::Add(b, g);
    }
    lanes.store(w, dweight + c);
    lanes.store(b, dbias + c);
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(LayerNormRow);
HWY_EXPORT(LayerNormRowGradient);
HWY_EXPORT(LayerNormParameters);

static int64_t chunk_rows(int64_t channels) { return std::max<int64_t>(1, (1 << 14) / channels); }

void layer_norm_forward(Context& context, float* y, float* mean, float* rstd, const float* x, const float* weight,
                        const float* bias, const LayerNormParams& p) {
  context.pool().parallel_range(p.rows, chunk_rows(p.channels), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) HWY_DYNAMIC_DISPATCH(LayerNormRow)
    (y + r * p.channels, mean + r, rstd + r, x + r * p.channels, weight, bias, p.channels, p.eps);
  });
}

void layer_norm_backward(Context& context, float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                         const float* weight, const float* mean, const float* rstd, const float* others, const LayerNormParams& p) {
  const int64_t C = p.channels, grain = std::max<int64_t>(64, chunk_rows(C)), chunks = (p.rows + grain - 1) / grain;
  const bool parameters = dweight || dbias;
  auto partial = context.scratch<float>(size_t(parameters ? 2 * chunks * C : 0));
  context.pool().parallel_range(p.rows, grain, [&](int64_t begin, int64_t end) {
    float* sums = partial.get() + 2 * (begin / grain) * C;
    if (parameters) HWY_DYNAMIC_DISPATCH(LayerNormParameters)(sums, sums + C, dy, x, mean, rstd, begin, end, C);
    for (int64_t r = begin; dx && r < end; ++r) HWY_DYNAMIC_DISPATCH(LayerNormRowGradient)
    (dx + r * C, dy + r * C, x + r * C, weight, mean[r], rstd[r], others ? others + r * C : nullptr, C);
  });
  for (int64_t c = 0; parameters && c < C; ++c) {
    double w = 0, b = 0;
    for (int64_t k = 0; k < chunks; ++k) {
      w += partial[size_t(2 * k * C + c)];
      b += partial[size_t((2 * k + 1) * C + c)];
    }
    if (dweight) dweight[c] = float(w);
    if (dbias) dbias[c] = float(b);
  }
}

GRAFT_KERNEL(layer_norm, forward, cpu, float, LayerNormForward);
GRAFT_KERNEL(layer_norm, backward, cpu, float, LayerNormBackward);

}  // namespace graft::cpu
#endif
