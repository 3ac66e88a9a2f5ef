// One row after the other, vectors along the row; tasks are groups of rows, so a row's bits depend on nothing else.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/softmax_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <cmath>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/common/simd_math.h"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax/softmax_simd.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

void Softmax(float* y, const float* x, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float sum = sum_exp(x, cols, row_max(x, cols), [&](int64_t c, auto lanes, VF e) { lanes.store(e, y + c); });
    const VF scale = hn::Set(F32(), 1.0f / sum);
    for_vectors(cols, [&](int64_t c, auto lanes) { lanes.store(hn::Mul(lanes.load(y + c), scale), y + c); });
  }
}

void SoftmaxGradient(float* dx, const float* dy, const float* y, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r, dx += cols, dy += cols, y += cols) {
    VF sum = hn::Zero(F32());
    for_vectors(cols, [&](int64_t c, auto lanes) { sum = hn::MulAdd(lanes.load(dy + c), lanes.load(y + c), sum); });
    const VF dot = hn::Set(F32(), sum_lanes(sum));
    for_vectors(cols,
                [&](int64_t c, auto lanes) { lanes.store(hn::Mul(lanes.load(y + c), hn::Sub(lanes.load(dy + c), dot)), dx + c); });
  }
}

void LogSoftmax(float* y, const float* x, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r, x += cols, y += cols) {
    const float max = row_max(x, cols), sum = sum_exp(x, cols, max, [](int64_t, auto, VF) {});
    const VF vmax = hn::Set(F32(), max), log_sum = hn::Set(F32(), std::log(sum));
    for_vectors(cols, [&](int64_t c, auto lanes) { lanes.store(hn::Sub(hn::Sub(lanes.load(x + c), vmax), log_sum), y + c); });
  }
}

void LogSoftmaxGradient(float* dx, const float* dy, const float* y, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r, dx += cols, dy += cols, y += cols) {
    VF v = hn::Zero(F32());
    for_vectors(cols, [&](int64_t c, auto lanes) { v = hn::Add(v, lanes.load(dy + c)); });
    const VF sum = hn::Set(F32(), sum_lanes(v));
    for_vectors(cols, [&](int64_t c, auto lanes) {
      lanes.store(hn::NegMulAdd(exp_of(lanes.load(y + c)), sum, lanes.load(dy + c)), dx + c);
    });
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Softmax);
HWY_EXPORT(SoftmaxGradient);
HWY_EXPORT(LogSoftmax);
HWY_EXPORT(LogSoftmaxGradient);

static int64_t grain(int64_t cols) { return cols < (1 << 12) ? (1 << 12) / (cols ? cols : 1) : 1; }

void softmax_forward(Context& context, float* y, const float* x, const SoftmaxParams& p) {
  context.pool().parallel_range(p.rows, grain(p.cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Softmax)(y + begin * p.cols, x + begin * p.cols, end - begin, p.cols);
  });
}

void softmax_backward(Context& context, float* dx, const float* dy, const float* y, const SoftmaxParams& p) {
  context.pool().parallel_range(p.rows, grain(p.cols), [&](int64_t begin, int64_t end) {
    const int64_t at = begin * p.cols;
    HWY_DYNAMIC_DISPATCH(SoftmaxGradient)(dx + at, dy + at, y + at, end - begin, p.cols);
  });
}

void log_softmax_forward(Context& context, float* y, const float* x, const SoftmaxParams& p) {
  context.pool().parallel_range(p.rows, grain(p.cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(LogSoftmax)(y + begin * p.cols, x + begin * p.cols, end - begin, p.cols);
  });
}

void log_softmax_backward(Context& context, float* dx, const float* dy, const float* y, const SoftmaxParams& p) {
  context.pool().parallel_range(p.rows, grain(p.cols), [&](int64_t begin, int64_t end) {
    const int64_t at = begin * p.cols;
    HWY_DYNAMIC_DISPATCH(LogSoftmaxGradient)(dx + at, dy + at, y + at, end - begin, p.cols);
  });
}

GRAFT_KERNEL(softmax, forward, cpu, float, SoftmaxForward);
GRAFT_KERNEL(softmax, backward, cpu, float, SoftmaxBackward);
GRAFT_KERNEL(log_softmax, forward, cpu, float, SoftmaxForward);
GRAFT_KERNEL(log_softmax, backward, cpu, float, SoftmaxBackward);

}  // namespace graft::cpu
#endif
