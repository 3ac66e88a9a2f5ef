#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/dropout_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/elementwise/dropout.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

using U32 = hn::ScalableTag<uint32_t>;
using VU = hn::Vec<U32>;

#if HWY_TARGET == HWY_SCALAR  // one lane: no wide products of lanes
void philox(const Philox& stream, uint64_t index, uint32_t* words) {
  const auto four = stream(index);
  for (size_t k = 0; k < 4; ++k) words[k] = four[k];
}
#else

// High and low words of v times a constant; vectors only multiply their even lanes to 64 bits.
HWY_INLINE void multiply(VU v, uint32_t by, VU& high, VU& low) {
  const U32 d;
  const hn::RepartitionToWide<U32> wide;
  const VU m = hn::Set(d, by);
  const auto even = hn::MulEven(v, m), odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, v))), m);
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
  low = hn::Mul(v, m);
}

// words[4 kLanes] of the stream, from word 4 index on; index is a multiple of kLanes, so its upper half is one for all
// lanes.
HWY_INLINE void philox(const Philox& stream, uint64_t index, uint32_t* words) {
  const U32 d;
  VU c0 = hn::Iota(d, uint32_t(index)), c1 = hn::Set(d, uint32_t(index >> 32));
  VU c2 = hn::Set(d, uint32_t(stream.offset)), c3 = hn::Set(d, uint32_t(stream.offset >> 32));
  uint32_t k0 = uint32_t(stream.key), k1 = uint32_t(stream.key >> 32);
  for (int round = 0; round < 10; ++round) {
    VU high0, low0, high1, low1;
    multiply(c0, 0xD2511F53, high0, low0);
    multiply(c2, 0xCD9E8D57, high1, low1);
    c0 = hn::Xor(hn::Xor(high1, c1), hn::Set(d, k0));
    c1 = low1;
    c2 = hn::Xor(hn::Xor(high0, c3), hn::Set(d, k1));
    c3 = low0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, d, words);
}
#endif

// Elements [begin, end); begin is a multiple of 4 kLanes.
void Drop(float* y, const float* x, const DropoutParams& p, int64_t begin, int64_t end) {
  const F32 d;
  const U32 du;
  const VF kept = hn::Set(d, float(1 / (1 - p.p)));
  const VU threshold = hn::Set(du, dropout_threshold(p.p));
  HWY_ALIGN uint32_t words[4 * kLanes];
  for_vectors(end - begin, [&](int64_t i, auto lanes) {
    const size_t within = size_t(i) % (4 * kLanes);
    if (within == 0) philox(p.stream, uint64_t(begin + i) / 4, words);
    const auto drop = hn::Gt(threshold, hn::ShiftRight<8>(hn::Load(du, words + within)));
    const VF factor = hn::IfThenZeroElse(hn::RebindMask(d, drop), kept);
    lanes.store(hn::Mul(lanes.load(x + begin + i), factor), y + begin + i);
  });
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Drop);

void dropout_forward(Context& context, float* y, const float* x, const DropoutParams& p) {
  context.pool().parallel_range(p.n, 1 << 13, [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(Drop)(y, x, p, begin, end); });
}

GRAFT_KERNEL(dropout, forward, cpu, float, DropoutForward);

}  // namespace graft::cpu
#endif
