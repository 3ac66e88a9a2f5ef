#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/fma_peak.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <chrono>
#include <vector>

#include "bench/roofline.h"
#include "kernels/runtime/cpu/thread_pool.h"

HWY_BEFORE_NAMESPACE();
namespace graft::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent chains hide the latency of two FMA ports of up to 5 cycles. Returns flops done.
double Fma(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V a = hn::Set(d, 0.999f), b = hn::Set(d, 0.001f);
  const auto start = [&](int chain) { return hn::Set(d, float(chain)); };  // all different, or the compiler keeps only one
  V c0 = start(0), c1 = start(1), c2 = start(2), c3 = start(3), c4 = start(4), c5 = start(5);
  V c6 = start(6), c7 = start(7), c8 = start(8), c9 = start(9), ca = start(10), cb = start(11);
  for (int64_t i = 0; i < rounds; ++i) {
    c0 = hn::MulAdd(c0, a, b), c1 = hn::MulAdd(c1, a, b), c2 = hn::MulAdd(c2, a, b), c3 = hn::MulAdd(c3, a, b);
    c4 = hn::MulAdd(c4, a, b), c5 = hn::MulAdd(c5, a, b), c6 = hn::MulAdd(c6, a, b), c7 = hn::MulAdd(c7, a, b);
    c8 = hn::MulAdd(c8, a, b), c9 = hn::MulAdd(c9, a, b), ca = hn::MulAdd(ca, a, b), cb = hn::MulAdd(cb, a, b);
  }
  const V sum = hn::Add(hn::Add(hn::Add(c0, c1), hn::Add(c2, c3)),
                        hn::Add(hn::Add(hn::Add(c4, c5), hn::Add(c6, c7)), hn::Add(hn::Add(c8, c9), hn::Add(ca, cb))));
  *sink = hn::GetLane(sum);
  return double(rounds) * 12 * 2 * double(hn::Lanes(d));
}

}  // namespace graft::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::bench {

HWY_EXPORT(Fma);

double fma_peak(int threads) {
  ThreadPool pool(threads);
  double best = 0;
  for (int repeat = 0; repeat < 200; ++repeat) {  // short ones: on a busy host some run undisturbed
    std::vector<float> sink(size_t(threads) * 16);
    std::vector<double> flops(static_cast<size_t>(threads));
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(threads,
                      [&](int64_t t, int) { flops[size_t(t)] = HWY_DYNAMIC_DISPATCH(Fma)(100'000, &sink[size_t(t) * 16]); });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double sum = 0;
    for (double f : flops) sum += f;
    best = std::max(best, sum / seconds * 1e-9);
  }
  return best;
}

}  // namespace graft::bench
#endif
