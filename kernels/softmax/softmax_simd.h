// For *_cpu.cpp files, after simd_math.h: what softmax and cross-entropy share.
// (No include guard of its own: it is compiled again for every target.)
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

#if defined(GRAFT_SOFTMAX_SIMD_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SOFTMAX_SIMD_H_
#undef GRAFT_SOFTMAX_SIMD_H_
#else
#define GRAFT_SOFTMAX_SIMD_H_
#endif

// Of a row with a NaN it is some element or -inf; exp(x - maximum) is NaN all the same.
HWY_INLINE float row_max(const float* x, int64_t cols) {
  const VF none = hn::Set(F32(), -std::numeric_limits<float>::infinity());
  VF max = none;
  for_vectors(cols, [&](int64_t c, auto lanes) { max = hn::Max(max, lanes.load_or(x + c, none)); });
  return max_lanes(max);
}

// The sum of exp(x - max), each term handed to keep(c, lanes, term).
template <class Keep>
HWY_INLINE float sum_exp(const float* x, int64_t cols, float max, Keep keep) {
  const F32 d;
  const VF none = hn::Set(d, -std::numeric_limits<float>::infinity()), vmax = hn::Set(d, max);
  VF sum = hn::Zero(d);
  for_vectors(cols, [&](int64_t c, auto lanes) {
    const VF e = exp_of(hn::Sub(lanes.load_or(x + c, none), vmax));
    keep(c, lanes, e);
    sum = hn::Add(sum, e);
  });
  return sum_lanes(sum);
}

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
