// For *_cpu.cpp files, after hwy/foreach_target.h: the tile of tile.h and the packing of its b, once per target.
// (No include guard of its own: it is compiled again for every target.)
#include <algorithm>

#include "hwy/cache_control.h"
#include "kernels/common/simd.h"
#include "kernels/matmul/tile.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

#if defined(GRAFT_TILE_CPU_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_TILE_CPU_H_
#undef GRAFT_TILE_CPU_H_
#else
#define GRAFT_TILE_CPU_H_
#endif

// Two FMAs a cycle of latency four need eight accumulators; 16 registers hold 6x2 and a row of b, 32 hold 12x2.
inline constexpr int kTileRows = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 4;
inline constexpr int kTileVecs = 2;
inline constexpr int64_t kPanel = kTileVecs * int64_t(kLanes);
inline constexpr int64_t kLine = 16;  // floats of a cache line
static_assert(kGemmRows % kTileRows == 0);

inline constexpr PanelLayout kLayout{kPanel, int64_t(kLanes)};

template <int kRows, int kVecs, bool kAhead = false>
HWY_NOINLINE void compute_tile(const Tile& t) {
  const F32 d;
  VF acc[kRows][kVecs];
  const float* a[kRows];
  float* c[kRows];
  for (int r = 0; r < kRows; ++r) a[r] = t.a[r] + t.a_offset;
  for (int r = 0; r < kRows; ++r) c[r] = t.c[r] + t.c_offset;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::Zero(d);
  if (t.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::LoadU(d, c[r] + v * kLanes);
  }

  const float *b = t.b, *ahead = t.ahead;
  int64_t ahead_step = 0;
  if constexpr (kAhead) {
    int64_t k = 0;
    for (const Run* run = t.runs; run != t.runs + t.run_count; ++run) k += run->count;
    ahead_step = (t.ahead_floats + k - 1) / std::max<int64_t>(k, 1);
  }
  const int64_t a_step = t.a_step, b_step = t.b_step;
  for (const Run* run = t.runs; run != t.runs + t.run_count; ++run) {
    int64_t at = run->offset;
    for (int64_t k = run->count; k > 0; --k, at += a_step, b += b_step) {
      if (kAhead) hwy::Prefetch(ahead), ahead += ahead_step;
      VF bv[kVecs];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) bv[v] = hn::LoadU(d, b + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const VF av = hn::Set(d, a[r][at]);
#pragma GCC unroll 16
        for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
      }
    }
  }

  if (t.bias) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      const VF bias = hn::LoadU(d, t.bias + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) acc[r][v] = hn::Add(acc[r][v], bias);
    }
  }
  if (t.relu) {
    const VF zero = hn::Zero(d);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::IfThenElse(hn::Lt(acc[r][v], zero), zero, acc[r][v]);  // keeps NaN
  }
  const auto store = [&](auto to) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) to(acc[r][v], c[r] + v * kLanes);
  };
  if (t.stream) store([&](VF v, float* p) HWY_ATTR { hn::Stream(v, d, p); });
  else store([&](VF v, float* p) HWY_ATTR { hn::StoreU(v, d, p); });
}

template <int kRows = kTileRows>
HWY_INLINE void compute_rows(int rows, const Tile& t) {
  if constexpr (kRows > 1)
    if (rows < kRows) return compute_rows<kRows - 1>(rows, t);
  if (t.cols <= int64_t(kLanes)) return compute_tile<kRows, 1>(t);
  kRows == kTileRows&& t.ahead ? compute_tile<kRows, 2, kRows == kTileRows>(t) : compute_tile<kRows, 2>(t);
}

// c and bias through a buffer, when the columns do not fill their vectors.
inline HWY_NOINLINE void compute_ragged(int rows, Tile t) {
  HWY_ALIGN float buffer[kTileRows][kPanel] = {};
  HWY_ALIGN float bias[kPanel] = {};
  float* const* c = t.c;
  const int64_t c_offset = t.c_offset;
  float* into[kTileRows];
  for (int r = 0; r < rows; ++r) {
    into[r] = buffer[r];
    if (t.accumulate) std::copy_n(c[r] + c_offset, t.cols, buffer[r]);
  }
  if (t.bias) t.bias = std::copy_n(t.bias, t.cols, bias) - t.cols;
  t.c = into;
  t.c_offset = 0;
  t.stream = false;
  compute_rows(rows, t);
  for (int r = 0; r < rows; ++r) std::copy_n(buffer[r], t.cols, c[r] + c_offset);
}

// All `rows` rows, tile by tile.
HWY_INLINE void compute_panel(int64_t rows, Tile t) {
  const bool ragged = t.cols % int64_t(kLanes) != 0;
  for (; rows > 0; rows -= kTileRows, t.a += kTileRows, t.c += kTileRows, t.ahead += t.ahead ? t.ahead_floats : 0) {
    const int n = int(std::min<int64_t>(rows, kTileRows));
    ragged ? compute_ragged(n, t) : compute_rows(n, t);
  }
}

// out[k][0 .. width) = in[k * k_step + j * j_step] for j < cols, else 0. One of the steps is 1.
HWY_INLINE void pack_panel(float* HWY_RESTRICT out, const float* HWY_RESTRICT in, int64_t k_step, int64_t j_step, int64_t k_count,
                           int64_t cols, int64_t width) {
  if (j_step == 1) {
    if (cols == kPanel) {
      for (int64_t k = 0; k < k_count; ++k)
        for (int64_t j = 0; j < kPanel; ++j) out[k * kPanel + j] = in[k * k_step + j];
      return;
    }
    for (int64_t k = 0; k < k_count; ++k) {
      for (int64_t j = 0; j < cols; ++j) out[k * width + j] = in[k * k_step + j];
      for (int64_t j = cols; j < width; ++j) out[k * width + j] = 0;
    }
    return;
  }
  int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR  // a transpose, by 4x4 blocks in registers
  const hn::Simd<float, 4, 0> d;
  const hn::Simd<double, 2, 0> d2;
  for (; j + 4 <= cols; j += 4) {
    const float* row = in + j * j_step;
    int64_t k = 0;
    for (; k + 4 <= k_count; k += 4) {
      const auto r0 = hn::LoadU(d, row + k), r1 = hn::LoadU(d, row + j_step + k);
      const auto r2 = hn::LoadU(d, row + 2 * j_step + k), r3 = hn::LoadU(d, row + 3 * j_step + k);
      const auto p = hn::BitCast(d2, hn::InterleaveLower(d, r0, r1)), q = hn::BitCast(d2, hn::InterleaveLower(d, r2, r3));
      const auto s = hn::BitCast(d2, hn::InterleaveUpper(d, r0, r1)), t = hn::BitCast(d2, hn::InterleaveUpper(d, r2, r3));
      float* o = out + k * width + j;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d2, p, q)), d, o);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d2, p, q)), d, o + width);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d2, s, t)), d, o + 2 * width);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d2, s, t)), d, o + 3 * width);
    }
    for (; k < k_count; ++k)
      for (int64_t i = 0; i < 4; ++i) out[k * width + j + i] = row[i * j_step + k];
  }
#endif
  for (; j < width; ++j)
    for (int64_t k = 0; k < k_count; ++k) out[k * width + j] = j < cols ? in[j * j_step + k] : 0;
}

#endif
}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
