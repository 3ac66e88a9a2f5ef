// Each row's or chunk's term is stored, then all are added in order in double: the same bits with any number of
// threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/loss/loss_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <cmath>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/common/simd_math.h"
#include "kernels/loss/loss.h"
#include "kernels/softmax/softmax_simd.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

float CrossEntropyRow(float* normaliser, const float* x, int64_t label, const CrossEntropyParams& p) {
  const float max = row_max(x, p.classes);
  const float log_sum = std::log(sum_exp(x, p.classes, max, [](int64_t, auto, VF) {}));
  normaliser[0] = max;
  normaliser[1] = log_sum;
  float loss = log_sum + float(1 - p.smoothing) * (max - x[label]);
  if (p.smoothing == 0) return loss;
  const VF vmax = hn::Set(F32(), max);
  VF away = hn::Zero(F32());
  for_vectors(p.classes, [&](int64_t c, auto lanes) { away = hn::Add(away, hn::Sub(vmax, lanes.load_or(x + c, vmax))); });
  return loss + float(p.smoothing / double(p.classes)) * sum_lanes(away);
}

void CrossEntropyRowGradient(float* dx, float scale, const float* x, const float* normaliser, int64_t label,
                             const CrossEntropyParams& p) {
  const F32 d;
  const float uniform = float(p.smoothing / double(p.classes));
  const float probability = std::exp(x[label] - normaliser[0] - normaliser[1]);  // first: dx may be x
  const VF max = hn::Set(d, normaliser[0]), log_sum = hn::Set(d, normaliser[1]), q = hn::Set(d, uniform), s = hn::Set(d, scale);
  for_vectors(p.classes, [&](int64_t c, auto lanes) {
    lanes.store(hn::Mul(s, hn::Sub(exp_of(hn::Sub(hn::Sub(lanes.load(x + c), max), log_sum)), q)), dx + c);
  });
  dx[label] = scale * (probability - (uniform + float(1 - p.smoothing)));
  std::fill(dx + p.classes, dx + p.line(), 0.0f);
}

float SquaredDistance(const float* x, const float* target, int64_t n) {
  VF sum = hn::Zero(F32());
  for_vectors(n, [&](int64_t i, auto lanes) {
    const VF d = hn::Sub(lanes.load(x + i), lanes.load(target + i));
    sum = hn::MulAdd(d, d, sum);
  });
  return sum_lanes(sum);
}

void ScaledDifference(float* out, const float* x, const float* target, float scale, int64_t n) {
  map_floats(
      out, n, [&](VF a, VF b) { return hn::Mul(hn::Set(F32(), scale), hn::Sub(a, b)); }, x, target);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(CrossEntropyRow);
HWY_EXPORT(CrossEntropyRowGradient);
HWY_EXPORT(SquaredDistance);
HWY_EXPORT(ScaledDifference);

static int64_t grain(int64_t cols) { return cols < (1 << 12) ? (1 << 12) / (cols ? cols : 1) : 1; }
constexpr int64_t kChunk = 1 << 12;  // terms summed in float before they enter the double sum

void cross_entropy_forward(Context& context, float* loss, float* normaliser, const float* x, const int64_t* labels,
                           const CrossEntropyParams& p) {
  check_labels("cross_entropy", labels, p.n, p.classes);
  auto rows = context.scratch<float>(size_t(p.n));
  context.pool().parallel_range(p.n, grain(p.classes), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      rows[size_t(n)] = HWY_DYNAMIC_DISPATCH(CrossEntropyRow)(normaliser + 2 * n, x + n * p.line(), labels[n], p);
  });
  double sum = 0;
  for (int64_t n = 0; n < p.n; ++n) sum += rows[size_t(n)];
  *loss = float(sum / double(p.n));
}

void cross_entropy_backward(Context& context, float* dx, const float* dloss, const float* x, const float* normaliser,
                            const int64_t* labels, const CrossEntropyParams& p) {
  const float scale = *dloss / float(p.n);
  context.pool().parallel_range(p.n, grain(p.classes), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) HWY_DYNAMIC_DISPATCH(CrossEntropyRowGradient)
    (dx + n * p.line(), scale, x + n * p.line(), normaliser + 2 * n, labels[n], p);
  });
}

void mse_forward(Context& context, float* loss, const float* x, const float* target, const MseParams& p) {
  auto chunks = context.scratch<float>(size_t((p.n + kChunk - 1) / kChunk));
  context.pool().parallel_range(p.n, kChunk, [&](int64_t begin, int64_t end) {
    chunks[size_t(begin / kChunk)] = HWY_DYNAMIC_DISPATCH(SquaredDistance)(x + begin, target + begin, end - begin);
  });
  double sum = 0;
  for (int64_t i = 0; i < p.n; i += kChunk) sum += chunks[size_t(i / kChunk)];
  *loss = float(sum / double(p.n));
}

void mse_backward(Context& context, float* dx, float* dtarget, const float* dloss, const float* x, const float* target,
                  const MseParams& p) {
  const float scale = 2 * *dloss / float(p.n);
  context.pool().parallel_range(p.n, kChunk, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    if (dx) HWY_DYNAMIC_DISPATCH(ScaledDifference)(dx + begin, x + begin, target + begin, scale, n);
    if (dtarget) HWY_DYNAMIC_DISPATCH(ScaledDifference)(dtarget + begin, x + begin, target + begin, -scale, n);
  });
}

GRAFT_KERNEL(cross_entropy, forward, cpu, float, CrossEntropyForward);
GRAFT_KERNEL(cross_entropy, backward, cpu, float, CrossEntropyBackward);
GRAFT_KERNEL(mse, forward, cpu, float, MseForward);
GRAFT_KERNEL(mse, backward, cpu, float, MseBackward);

}  // namespace graft::cpu
#endif
