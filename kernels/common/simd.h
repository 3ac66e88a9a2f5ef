// For *_cpu.cpp files, after hwy/foreach_target.h: loops over contiguous floats, once per instruction-set target.
// (No include guard of its own: it is compiled again for every target.)
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if defined(GRAFT_SIMD_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_SIMD_H_
#undef GRAFT_SIMD_H_
#else
#define GRAFT_SIMD_H_
#endif

using F32 = hn::ScalableTag<float>;
using VF = hn::Vec<F32>;
inline constexpr size_t kLanes = HWY_LANES(float);  // x86 targets know their width when compiled

// out[i] = f(a[i], b[i], ...) for i in [0, n): whole vectors, then one partial vector through a buffer, so the last
// elements go through the same arithmetic as the others.
template <class F, class... In>
HWY_INLINE void map_floats(float* out, int64_t n, F f, const In*... in) {
  const F32 d;
  int64_t i = 0;
  for (; i + int64_t(kLanes) <= n; i += kLanes) hn::StoreU(f(hn::LoadU(d, in + i)...), d, out + i);
  if (i == n) return;
  const size_t rest = size_t(n - i);
  const auto load = [&](const float* p) {
    HWY_ALIGN float buffer[kLanes] = {};
    for (size_t k = 0; k < rest; ++k) buffer[k] = p[k];
    return hn::Load(d, buffer);
  };
  HWY_ALIGN float buffer[kLanes];
  hn::Store(f(load(in + i)...), d, buffer);
  for (size_t k = 0; k < rest; ++k) out[i + int64_t(k)] = buffer[k];
}

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
