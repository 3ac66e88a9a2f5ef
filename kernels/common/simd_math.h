// For *_cpu.cpp files, after simd.h: Highway's elementary functions, made to keep NaN (its Exp and Log return a
// number). (No include guard of its own: it is compiled again for every target.)
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

#if defined(GRAFT_SIMD_MATH_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_MATH_H_
#undef GRAFT_SIMD_MATH_H_
#else
#define GRAFT_SIMD_MATH_H_
#endif

HWY_INLINE VF keep_nan(VF x, VF y) { return hn::IfThenElse(hn::Eq(x, x), y, x); }

// Any x, relative error below 2e-7. Highway's Exp wraps round to small numbers above 104, where the result is inf.
HWY_INLINE VF exp_of(VF x) { return keep_nan(x, hn::Exp(F32(), hn::Min(x, hn::Set(F32(), 104.0f)))); }
HWY_INLINE VF log_of(VF x) { return keep_nan(x, hn::Log(F32(), x)); }  // normal x > 0
HWY_INLINE float sum_lanes(VF v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }
HWY_INLINE float max_lanes(VF v) { return hn::GetLane(hn::MaxOfLanes(F32(), v)); }

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
