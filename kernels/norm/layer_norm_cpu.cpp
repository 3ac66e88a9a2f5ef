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

// dx of kRows rows (null: not needed). dweight[C] and dbias[C] grow by these rows, one after the other (null: not needed): read
// and written once for all of them.
template <int kRows>
HWY_INLINE void rows_gradient(float* dx, float* dweight, float* dbias, const float* dy, const float* x, const float* weight,
                              const float* mean, const float* rstd, const float* others, int64_t channels) {
  const F32 d;
  VF sum_g[kRows], sum_gx[kRows];
  for (int r = 0; r < kRows; ++r) sum_g[r] = sum_gx[r] = hn::Zero(d);
  const auto xhat_of = [&](int r, int64_t c, auto lanes) HWY_ATTR {
    return hn::Mul(hn::Sub(lanes.load(x + r * channels + c), hn::Set(d, mean[r])), hn::Set(d, rstd[r]));
  };
  for_vectors(channels, [&](int64_t c, auto lanes) HWY_ATTR {
    const VF scale = load_or_set(weight, c, lanes, 1);
    VF w = dweight ? lanes.load(dweight + c) : hn::Zero(d), b = dbias ? lanes.load(dbias + c) : hn::Zero(d);
    for (int r = 0; r < kRows; ++r) {
      const VF up = lanes.load(dy + r * channels + c), xhat = xhat_of(r, c, lanes), g = hn::Mul(up, scale);
      w = hn::MulAdd(up, xhat, w);
      b = hn::Add(b, up);
      sum_g[r] = hn::Add(sum_g[r], g);
      sum_gx[r] = hn::MulAdd(g, xhat, sum_gx[r]);
    }
    if (dweight) lanes.store(w, dweight + c);
    if (dbias) lanes.store(b, dbias + c);
  });
  for (int r = 0; dx && r < kRows; ++r) {
    const VF mean_g = hn::Set(d, sum_lanes(sum_g[r]) / float(channels)),
             mean_gx = hn::Set(d, sum_lanes(sum_gx[r]) / float(channels));
    for_vectors(channels, [&](int64_t c, auto lanes) HWY_ATTR {
      const VF g = hn::Mul(lanes.load(dy + r * channels + c), load_or_set(weight, c, lanes, 1)), xhat = xhat_of(r, c, lanes);
      const VF own = hn::Mul(hn::Set(d, rstd[r]), hn::NegMulAdd(xhat, mean_gx, hn::Sub(g, mean_g)));
      lanes.store(others ? hn::Add(own, lanes.load(others + r * channels + c)) : own, dx + r * channels + c);
    });
  }
}

void LayerNormRowsGradient(float* dx, float* dweight, float* dbias, const float* dy, const float* x, const float* weight,
                           const float* mean, const float* rstd, const float* others, int64_t rows, int64_t channels) {
  const auto at = [&](auto* p, int64_t r) { return p ? p + r * channels : nullptr; };
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    rows_gradient<4>(at(dx, r), dweight, dbias, at(dy, r), at(x, r), weight, mean + r, rstd + r, at(others, r), channels);
  for (; r < rows; ++r)
    rows_gradient<1>(at(dx, r), dweight, dbias, at(dy, r), at(x, r), weight, mean + r, rstd + r, at(others, r), channels);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(LayerNormRow);
HWY_EXPORT(LayerNormRowsGradient);

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
    float* const sums = parameters ? partial.get() + 2 * (begin / grain) * C : nullptr;
    if (sums) std::fill_n(sums, 2 * C, 0.0f);
    HWY_DYNAMIC_DISPATCH(LayerNormRowsGradient)
    (dx ? dx + begin * C : nullptr, sums, sums ? sums + C : nullptr, dy + begin * C, x + begin * C, weight, mean + begin,
     rstd + begin, others ? others + begin * C : nullptr, end - begin, C);
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
