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

// The lanes of one step of for_vectors: a whole vector, or the first n lanes of one (the others read as zero).
struct Whole {
  VF load(const float* p) const { return hn::LoadU(F32(), p); }
  void store(VF v, float* p) const { hn::StoreU(v, F32(), p); }
  VF load_or(const float* p, VF) const { return load(p); }
};
struct Part {
  size_t n;
  // The lanes beyond n are those of `other`.
  VF load_or(const float* p, VF other) const { return hn::IfThenElse(hn::FirstN(F32(), n), load(p), other); }
#if HWY_TARGET <= HWY_AVX2  // masked moves, which touch only their lanes
  VF load(const float* p) const { return hn::MaskedLoad(hn::FirstN(F32(), n), F32(), p); }
  void store(VF v, float* p) const { hn::BlendedStore(v, hn::FirstN(F32(), n), F32(), p); }
#else
  VF load(const float* p) const {
    HWY_ALIGN float buffer[kLanes] = {};
    for (size_t i = 0; i < n; ++i) buffer[i] = p[i];
    return hn::Load(F32(), buffer);
  }
  void store(VF v, float* p) const {
    HWY_ALIGN float buffer[kLanes];
    hn::Store(v, F32(), buffer);
    for (size_t i = 0; i < n; ++i) p[i] = buffer[i];
  }
#endif
};

// f(i, lanes) for i = 0, kLanes, 2 kLanes, .. < n; the last call has a Part when n is not a multiple.
template <class F>
HWY_INLINE void for_vectors(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + int64_t(kLanes) <= n; i += kLanes) f(i, Whole{});
  if (i < n) f(i, Part{size_t(n - i)});
}

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
