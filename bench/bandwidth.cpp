#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/bandwidth.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>
#include <chrono>
#include <string>

#include "bench/roofline.h"
#include "kernels/runtime/cpu/memory.h"

HWY_BEFORE_NAMESPACE();
namespace graft::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// n: floats, a multiple of four vectors.
float Read(const float* a, int64_t n) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = int64_t(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i < n; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::Load(d, a + i)), s1 = hn::Add(s1, hn::Load(d, a + i + lanes));
    s2 = hn::Add(s2, hn::Load(d, a + i + 2 * lanes)), s3 = hn::Add(s3, hn::Load(d, a + i + 3 * lanes));
  }
  return hn::GetLane(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

void Copy(float* y, const float* a, int64_t n) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += int64_t(hn::Lanes(d))) hn::Store(hn::Load(d, a + i), d, y + i);
}

void CopyStream(float* y, const float* a, int64_t n) {
  const hn::ScalableTag<float> d;
  for (int64_t i = 0; i < n; i += int64_t(hn::Lanes(d))) hn::Stream(hn::Load(d, a + i), d, y + i);
}

void TriadStream(float* y, const float* a, const float* b, int64_t n) {
  const hn::ScalableTag<float> d;
  const auto half = hn::Set(d, 0.5f);
  for (int64_t i = 0; i < n; i += int64_t(hn::Lanes(d)))
    hn::Stream(hn::MulAdd(half, hn::Load(d, b + i), hn::Load(d, a + i)), d, y + i);
}

}  // namespace graft::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::bench {

HWY_EXPORT(Read);
HWY_EXPORT(Copy);
HWY_EXPORT(CopyStream);
HWY_EXPORT(TriadStream);

std::vector<Bandwidth> bandwidths(ThreadPool& pool, int64_t largest) {
  constexpr int64_t kPiece = 256;                       // floats: a multiple of four vectors of any target
  const int64_t most = largest / 12 / kPiece * kPiece;  // floats in each of three arrays
  const size_t bytes = size_t(most) * sizeof(float);
  float* arrays[3];
  for (float*& p : arrays) {
    p = static_cast<float*>(cpu::allocate(bytes));
    pool.parallel_range(most, 1 << 16, [p](int64_t begin, int64_t end) { std::fill(p + begin, p + end, 1.0f); });
  }
  const auto [y, a, b] = arrays;
  std::vector<float> sink(size_t(pool.size()) * 16);
  // Each worker has its own part of every array, so that a working set stays in the caches of its core.
  const auto rate = [&](int64_t floats, double moved, auto&& f) {
    const int64_t part = std::max(floats / pool.size() / kPiece, int64_t{1}) * kPiece;
    const int64_t repeats = std::max<int64_t>(1, (int64_t{1} << 22) / part);
    double fastest = 0;
    for (int trial = 0; trial < 6; ++trial) {
      const auto start = std::chrono::steady_clock::now();
      pool.parallel_for(pool.size(), [&](int64_t t, int) {
        for (int64_t r = 0; r < repeats; ++r) f(t * part, part, size_t(t));
      });
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      fastest = std::max(fastest, moved * double(part * pool.size() * repeats) * sizeof(float) / seconds * 1e-9);
    }
    return fastest;
  };
  std::vector<Bandwidth> result;
  for (int64_t set = int64_t{1} << 15; set <= largest; set *= 4) {
    const int64_t size = set >= largest / 4 ? largest : set;
    const int64_t one = std::min(most, size / 4), two = std::min(most, size / 8), three = std::min(most, size / 12);
    double gbs = rate(one, 1, [&](int64_t at, int64_t n, size_t t) { sink[t * 16] += HWY_DYNAMIC_DISPATCH(Read)(a + at, n); });
    gbs = std::max(gbs, rate(two, 2, [&](int64_t at, int64_t n, size_t) { HWY_DYNAMIC_DISPATCH(Copy)(y + at, a + at, n); }));
    gbs = std::max(gbs, rate(two, 2, [&](int64_t at, int64_t n, size_t) { HWY_DYNAMIC_DISPATCH(CopyStream)(y + at, a + at, n); }));
    gbs = std::max(gbs, rate(three, 3, [&](int64_t at, int64_t n, size_t) {
                     HWY_DYNAMIC_DISPATCH(TriadStream)
                     (y + at, a + at, b + at, n);
                   }));
    result.push_back({size, gbs});
    if (size == largest) break;
  }
  for (float* p : arrays) cpu::deallocate(p, bytes);
  return result;
}

double Roofline::cached_gbs(double bytes) const {
  double gbs = bandwidths.empty() ? memory_gbs : bandwidths.front().gbs;
  for (const Bandwidth& b : bandwidths)
    if (double(b.working_set) <= bytes) gbs = b.gbs;
  return std::max(gbs, memory_gbs);
}

double Roofline::cold_gbs(double bytes) const {
  if (cold.empty() || bytes >= double(cold.back().working_set)) return memory_gbs;
  const auto seconds = [](const Bandwidth& b) { return double(b.working_set) / b.gbs; };
  size_t i = 0;
  while (double(cold[i].working_set) < bytes) ++i;
  double time = seconds(cold[i]);
  if (i > 0) {
    const double from = double(cold[i - 1].working_set), part = (bytes - from) / (double(cold[i].working_set) - from);
    time = seconds(cold[i - 1]) + part * (time - seconds(cold[i - 1]));
  }
  return bytes / time;
}

Roofline best(const Roofline& a, const Roofline& b) {
  Roofline r = a;
  r.gflops = std::max(a.gflops, b.gflops), r.tensor_gflops = std::max(a.tensor_gflops, b.tensor_gflops);
  r.memory_gbs = std::max(a.memory_gbs, b.memory_gbs);
  const auto better = [](std::vector<Bandwidth>& of, const std::vector<Bandwidth>& other) {
    for (size_t i = 0; i < std::min(of.size(), other.size()); ++i) of[i].gbs = std::max(of[i].gbs, other[i].gbs);
  };
  better(r.bandwidths, b.bandwidths), better(r.cold, b.cold);
  return r;
}

}  // namespace graft::bench
#endif
