// The layouts of ldmatrix, stmatrix and mma, written down a second time from the PTX ISA, against plain products; the roundings.
#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "kernels/common/philox.h"
#include "kernels/common/ptx.h"
#include "kernels/runtime/emu/emu.h"

using namespace graft;
using namespace graft::emu;

namespace {

enum class Kind { bf16, f16, tf32 };

template <Kind kKind>
uint32_t bits(float v) {
  if (kKind == Kind::bf16) return BFloat16(v).bits;
  if (kKind == Kind::f16) return Half(v).bits;
  return to_tf32(v);
}

// d[16, 8] += a[16, k] b[k, 8], one warp, fragments filled element by element.
template <Kind kKind>
__global__ void one_mma(float* d, const float* a, const float* b) {
  constexpr int kPack = kKind == Kind::tf32 ? 1 : 2, kK = 8 * kPack;
  const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
  uint32_t ra[4] = {}, rb[2] = {};
  for (int i = 0; i < 4; ++i)
    for (int e = 0; e < kPack; ++e) {
      const int row = i % 2 ? g + 8 : g, k = t * kPack + e + (i >= 2 ? kK / 2 : 0);
      ra[i] |= bits<kKind>(a[row * kK + k]) << (16 * e);
      if (i % 2 == 0) rb[i / 2] |= bits<kKind>(b[k * 8 + g]) << (16 * e);
    }
  float rd[4];
  for (int i = 0; i < 4; ++i) rd[i] = d[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  if (kKind == Kind::bf16) mma_bf16(rd, ra, rb[0], rb[1]);
  else if (kKind == Kind::f16) mma_f16(rd, ra, rb[0], rb[1]);
  else mma_tf32(rd, ra, rb[0], rb[1]);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = rd[i];
}

template <Kind kKind>
void check_mma(double u) {
  constexpr int kK = kKind == Kind::tf32 ? 8 : 16;
  const Philox random{11, 0};
  std::vector<float> a(16 * kK), b(kK * 8), d(128);
  uint64_t n = 0;
  for (auto* v : {&a, &b, &d})
    for (float& x : *v) x = float(random.normal(n++));
  const std::vector<float> before = d;
  Context context(1);
  launch(one_mma<kKind>, 1, 32, 0, context, d.data(), a.data(), b.data());
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double sum = before[size_t(i * 8 + j)], size = std::abs(sum);
      for (int k = 0; k < kK; ++k) {
        const double product = double(a[size_t(i * kK + k)]) * b[size_t(k * 8 + j)];
        sum += product, size += std::abs(product);
      }
      CHECK(std::abs(d[size_t(i * 8 + j)] - sum) <= (2 * u + u * u + 0x1p-23) * size);
    }
}

template <int kCount, bool kTrans>
__global__ void load_kernel(uint32_t* out) {
  struct alignas(16) Smem {
    uint16_t m[4][8][8];
  };
  auto& s = shared<Smem>();
  for (int i = int(threadIdx.x); i < 256; i += 32) (&s.m[0][0][0])[i] = uint16_t(i);
  __syncwarp();
  uint32_t r[kCount];
  const void* row = &s.m[threadIdx.x / 8][threadIdx.x % 8][0];
  if constexpr (kTrans) ldmatrix_trans(r, row);
  else ldmatrix(r, row);
  for (int i = 0; i < kCount; ++i) out[32 * i + int(threadIdx.x)] = r[i];
}

template <int kCount, bool kTrans>
void check_ldmatrix() {
  std::vector<uint32_t> out(32 * kCount);
  Context context(1);
  launch(load_kernel<kCount, kTrans>, 1, 32, 0, context, out.data());
  for (int i = 0; i < kCount; ++i)
    for (int l = 0; l < 32; ++l) {
      const int row = l / 4, column = 2 * (l % 4), base = 64 * i;
      const int low = kTrans ? base + 8 * column + row : base + 8 * row + column, high = kTrans ? low + 8 : low + 1;
      CHECK(out[size_t(32 * i + l)] == uint32_t(low | high << 16));
    }
}

// Registers as ldmatrix would deliver them from the matrix at 0, 1, ...
template <int kCount, bool kTrans>
__global__ void store_kernel(uint16_t* out) {
  struct alignas(16) Smem {
    uint16_t m[kCount][8][8];
  };
  auto& s = shared<Smem>();
  const int l = int(threadIdx.x);
  uint32_t r[kCount];
  for (int i = 0; i < kCount; ++i) {
    const int row = l / 4, column = 2 * (l % 4);
    r[i] = kTrans ? uint32_t(64 * i + 8 * column + row) | uint32_t(64 * i + 8 * (column + 1) + row) << 16
                  : uint32_t(64 * i + 8 * row + column) | uint32_t(64 * i + 8 * row + column + 1) << 16;
  }
  void* row = &s.m[l / 8 % kCount][l % 8][0];
  if constexpr (kTrans) stmatrix_trans(row, r);
  else stmatrix(row, r);
  __syncwarp();
  for (int i = l; i < 64 * kCount; i += 32) out[i] = (&s.m[0][0][0])[i];
}

template <int kCount, bool kTrans>
void check_stmatrix() {
  std::vector<uint16_t> out(64 * kCount);
  Context context(1);
  launch(store_kernel<kCount, kTrans>, 1, 32, 0, context, out.data());
  for (size_t i = 0; i < out.size(); ++i) CHECK(out[i] == i);
}

__global__ void two_groups(float* out, const float* x) {
  struct alignas(16) Smem {
    float v[2][4];
  };
  auto& s = shared<Smem>();
  copy_async_16(s.v[0], x);
  copy_async_commit();
  copy_async_16(s.v[1], x, false);
  copy_async_commit();
  copy_async_wait<1>();
  for (int i = 0; i < 4; ++i) out[i] = s.v[0][i];
  copy_async_wait<0>();
  for (int i = 0; i < 4; ++i) out[4 + i] = s.v[1][i];
}

}  // namespace

TEST_CASE("ptx: mma layouts against a plain product") {
  check_mma<Kind::bf16>(0x1p-8);
  check_mma<Kind::f16>(0x1p-11);
  check_mma<Kind::tf32>(0x1p-11);
}

TEST_CASE("ptx: ldmatrix layouts") {
  check_ldmatrix<1, false>();
  check_ldmatrix<2, false>();
  check_ldmatrix<4, false>();
  check_ldmatrix<1, true>();
  check_ldmatrix<2, true>();
  check_ldmatrix<4, true>();
}

TEST_CASE("ptx: stmatrix layouts") {
  check_stmatrix<1, false>();
  check_stmatrix<2, false>();
  check_stmatrix<4, false>();
  check_stmatrix<1, true>();
  check_stmatrix<2, true>();
  check_stmatrix<4, true>();
}

TEST_CASE("ptx: groups of asynchronous copies, zeros outside") {
  alignas(16) float memory[12] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4};
  Context context(1);
  launch(two_groups, 1, 1, 0, context, memory, memory + 8);
  for (int i = 0; i < 8; ++i) CHECK(memory[i] == (i < 4 ? float(i + 1) : 0.0f));
}

TEST_CASE("ptx: roundings to tf32 and bf16") {
  CHECK(to_tf32(1.0f) == 0x3f800000u);
  CHECK(to_tf32(1.0f + 0x1p-11f) == 0x3f802000u);  // a tie goes away from zero
  CHECK(to_tf32(-1.0f - 0x1p-11f) == 0xbf802000u);
  CHECK(to_tf32(1.0f + 0x1p-11f - 0x1p-23f) == 0x3f800000u);
  CHECK(to_tf32(0x1.ff933cp127f) == 0x7f7fc000u);
  CHECK(to_tf32(std::numeric_limits<float>::max()) == 0x7f800000u);  // infinity
  CHECK(std::isnan(std::bit_cast<float>(to_tf32(std::nanf("")))));
  CHECK(pack_bf16(1.0f + 0x1p-8f, 1.0f + 0x3p-8f) == 0x3f823f80u);  // ties to even: down, up
}
