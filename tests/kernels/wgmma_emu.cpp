// wgmma: operands as TMA lays them down, in every majorness and swizzle, against plain products of small integers (exact); planted
// misuse.

#include <vector>

#include "kernels/common/philox.h"
#include "tests/kernels/hopper_kernels.cuh"
#include "tests/kernels/planted.h"

using namespace graft;
using namespace graft::emu;

namespace {

template <class T>
struct Matrix {
  int rows, depth;  // m or n by k
  Major major;
  std::vector<T> data;
  Matrix(int rows, Major major, uint64_t key) : rows(rows), depth(kLines / int(sizeof(T))), major(major) {
    const Philox random{key, 0};
    for (int i = 0; i < rows * depth; ++i) data.push_back(T(float(int(random.below(uint64_t(i), 9)) - 4)));
  }
  float at(int i, int k) const { return float(data[size_t(major == Major::k ? i * depth + k : k * rows + i)]); }
  TensorMap map(Swizzle s) const {
    const int64_t line = major == Major::k ? depth : rows, lines = major == Major::k ? rows : depth;
    return tensor_map(TiledTensor{data.data(),
                                  sizeof(T) == 4            ? DType::f32
                                  : std::is_same_v<T, Half> ? DType::f16
                                                            : DType::bf16,
                                  2,
                                  {line, lines},
                                  {line * int64_t(sizeof(T))},
                                  {swizzle_bytes(s) / int(sizeof(T)), int(lines)},
                                  s});
  }
};

template <class T, int kN>
void check(const std::vector<float>& out, const Matrix<T>& a, const Matrix<T>& b, int times) {
  int wrong = 0;
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < kN; ++j) {
      float sum = 0;
      for (int k = 0; k < a.depth; ++k) sum += a.at(i, k) * b.at(j, k);
      wrong += out[size_t(i * kN + j)] != float(times) * sum;
    }
  CHECK(wrong == 0);
}

template <class T, Major kA, Major kB, int kN>
void check_product() {
  const Matrix<T> a(64, kA, 1), b(kN, kB, 2);
  for (Swizzle s : {Swizzle::b128, Swizzle::b64, Swizzle::b32}) {
    std::vector<float> out(64 * kN);
    Context c(1);
    launch(product<T, kA, kB, kN>, 1, 128, aligned_shared_bytes<Tiles<kN>>, c, out.data(), a.map(s), b.map(s), s);
    check<T, kN>(out, a, b, 2);
  }
}

template <Major kMajor, bool kRegisters>
void check_without_swizzle() {
  std::vector<BFloat16> a, b;
  for (int i = 0; i < 64 * 16; ++i) a.emplace_back(float(i * 7 % 11 - 5));
  for (int i = 0; i < 32 * 16; ++i) b.emplace_back(float(i * 5 % 13 - 6));
  std::vector<float> out(64 * 32);
  Context c(1);
  launch(without_swizzle<kMajor, kRegisters>, 1, 128, 0, c, out.data(), a.data(), b.data());
  int wrong = 0;
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 32; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += float(a[size_t(i * 16 + k)]) * float(b[size_t(j * 16 + k)]);
      wrong += out[size_t(i * 32 + j)] != sum;
    }
  CHECK(wrong == 0);
}

struct alignas(1024) Operands {
  BFloat16 a[64 * 64], b[16 * 64];
  uint64_t full;
};
template <Bug kBug, int kWhich>
__device__ void planted(float* out) {
  auto& s = aligned_shared<Operands>();
  const int t = int(threadIdx.x);
  for (int i = t; i < 64 * 64; i += 128) s.a[i] = BFloat16(1.0f);
  for (int i = t; i < 16 * 64; i += 128) s.b[i] = BFloat16(1.0f);
  constexpr bool kCorrect = kBug == Bug::corrected;
  if (kCorrect || kWhich != 1) fence_async();
  if (kWhich == 7 && t == 0) {
    mbarrier_init(&s.full, 1);
    fence_async();
  }
  __syncthreads();
  uint64_t a = matrix_descriptor(s.a, Swizzle::b128, 16, 1024);
  if (!kCorrect && kWhich == 2) a |= uint64_t{1} << 49;  // a pattern that begins in its second line
  const uint64_t b = matrix_descriptor(s.b + (!kCorrect && kWhich == 3 && t == 5 ? 16 : 0), Swizzle::b128, 16, 1024);
  float d[8] = {};
  if (kCorrect || kWhich != 4) wgmma_fence(d);
  wgmma<BFloat16, Major::k, Major::k>(d, a, b, true);
  if (kWhich == 5 && kCorrect) wgmma_commit();
  if (kWhich == 5 && kCorrect) wgmma_wait<0>(d);
  if (kWhich == 5) d[3] += 1;
  if (kWhich != 5 || !kCorrect) wgmma_commit();
  if (kWhich == 6 && kCorrect) wgmma_wait<0>(d);
  if (kWhich == 6) s.b[t] = BFloat16(2.0f);
  if (kWhich != 5 || !kCorrect) wgmma_wait<0>(d);
  if (kWhich == 8) {
    d[0] *= 2;
    if (kCorrect) wgmma_fence(d);
    wgmma<BFloat16, Major::k, Major::k>(d, a, b, true);
    wgmma_commit();
    wgmma_wait<0>(d);
  }
  if (t == 0) out[0] = d[0];
}
#define PLANTED(name, which)         \
  template <Bug kBug>                \
  __global__ void name(float* out) { \
    planted<kBug, which>(out);       \
  }
PLANTED(no_proxy_fence, 1)
PLANTED(pattern_misaligned, 2)
PLANTED(different_descriptors, 3)
PLANTED(no_fence, 4)
PLANTED(no_wait, 5)
PLANTED(operand_overwritten, 6)
PLANTED(written_without_fence, 8)

TensorMap stage_map;
// The slot is given back to the producer before the product has read it.
template <Bug kBug>
__global__ void released_too_early(float* out) {
  struct alignas(1024) Smem {
    BFloat16 b[8 * 64], a[64 * 64];
    uint64_t full, empty;
  };
  auto& s = aligned_shared<Smem>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.full, 1), mbarrier_init(&s.empty, 1);
    fence_mbarrier_init();
  }
  for (int i = int(threadIdx.x); i < 64 * 64; i += int(blockDim.x)) s.a[i] = BFloat16(1.0f);
  fence_async();
  __syncthreads();
  if (threadIdx.x == 128)
    for (int i = 0; i < 2; ++i) {
      mbarrier_wait(&s.empty, (i & 1) ^ 1);
      mbarrier_arrive_expect(&s.full, 1024);
      tma_load(s.b, stage_map, &s.full, 0), tma_load(s.b + 256, stage_map, &s.full, 256);
    }
  if (threadIdx.x >= 128) return;
  float d[8] = {};
  for (int i = 0; i < 2; ++i) {
    mbarrier_wait(&s.full, i & 1);
    wgmma_fence(d);
    wgmma<BFloat16, Major::k, Major::k>(d, matrix_descriptor(s.a, Swizzle::none, 128, 256),
                                        matrix_descriptor(s.b, Swizzle::none, 128, 256), true);
    wgmma_commit();
    if (kBug == Bug::corrected) wgmma_wait<0>(d);
    if (threadIdx.x == 0) mbarrier_arrive(&s.empty);
    wgmma_wait<0>(d);
  }
  if (threadIdx.x == 0) out[0] = d[0];
}
template <Bug kBug>
__global__ void half_a_warpgroup(float*) {
  if (kBug == Bug::planted && threadIdx.x >= 64) return;
  wgmma_commit();
}
template <Bug kBug>
__global__ void too_many_registers(float*) {
  if (threadIdx.x < 128) registers_decrease<40>();
  else if (kBug == Bug::corrected) registers_increase<232>();
  else registers_increase<240>();
}

}  // namespace

TEST_CASE("wgmma: bf16, both operands along k and along m and n, all swizzles") {
  check_product<BFloat16, Major::k, Major::k, 64>();
  check_product<BFloat16, Major::k, Major::mn, 128>();
  check_product<BFloat16, Major::mn, Major::k, 64>();
  check_product<BFloat16, Major::mn, Major::mn, 256>();
}
TEST_CASE("wgmma: operands that begin in any line of a tile") {
  const Matrix<BFloat16> x(112, Major::k, 3);  // lines
  std::vector<float> out(64 * 256);
  Context c(1);
  launch(product_of_lines, 1, 128, 16 << 10, c, out.data(), x.map(Swizzle::b128));
  int wrong = 0;
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 256; ++j) {
      float sum = 0;
      if (j < 64)
        for (int k = 0; k < 64; ++k) sum += x.at(5 + i, k) * x.at(3 + j, k);
      else
        for (int k = 0; k < 32; ++k) sum += x.at(7 + k, i) * x.at(1 + (j - 64) / 64 + k, j % 64);
      wrong += out[size_t(j < 64 ? i * 64 + j : 64 * 64 + i * 192 + j - 64)] != sum;
    }
  CHECK(wrong == 0);
}
TEST_CASE("wgmma: f16 and tf32") {
  check_product<Half, Major::k, Major::mn, 64>();
  check_product<float, Major::k, Major::k, 64>();
}
TEST_CASE("wgmma: without swizzle, a in registers") {
  check_without_swizzle<Major::k, false>();
  check_without_swizzle<Major::mn, false>();
  check_without_swizzle<Major::k, true>();
  check_without_swizzle<Major::mn, true>();
  std::vector<float> a, b, out(64 * 16);
  for (int i = 0; i < 64 * 8; ++i) a.push_back(float(i * 7 % 11 - 5));
  for (int i = 0; i < 16 * 8; ++i) b.push_back(float(i * 5 % 13 - 6));
  Context c(1);
  launch(tf32_registers, 1, 128, 0, c, out.data(), a.data(), b.data());
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 16; ++j) {
      float sum = 0;
      for (int k = 0; k < 8; ++k) sum += a[size_t(i * 8 + k)] * b[size_t(j * 8 + k)];
      CHECK(out[size_t(i * 16 + j)] == sum);
    }
}

TEST_CASE("planted: wgmma") {
  const PlantedLaunch one{1, 128, 1, aligned_shared_bytes<Operands>};
  CHECK_PLANTED_IN(pattern_misaligned, one, "descriptor of a: expected base offset 0: patterns begin at multiples of 1024, got 1");
  CHECK_PLANTED_IN(different_descriptors, one,
                   "expected the same descriptors in all threads of the warpgroup: thread (5,0,0) differs");
  CHECK_PLANTED_IN(no_fence, one, "expected a wgmma_fence() before the first one");
  CHECK_PLANTED_IN(half_a_warpgroup, one, "deadlock",
                   "waits for the rest of its warpgroup at wgmma_emu.cpp:", "(64 threads there)");
  CHECK_PLANTED_IN(too_many_registers, (PlantedLaunch{1, 384, 1}),
                   "setmaxnreg: the warpgroups ask for 66560 registers: the block has 64512");
  NEEDS_HOOKS();
  CHECK_PLANTED_IN(no_wait, one, "accumulators in flight: it reads at wgmma_emu.cpp:");
  CHECK_PLANTED_IN(no_proxy_fence, one, "missing fence.proxy.async: a wgmma reads 16 bytes of shared memory at wgmma_emu.cpp:");
  CHECK_PLANTED_IN(operand_overwritten, one, "asynchronous operation in flight: it writes", "wgmma_emu.cpp:");
  CHECK_PLANTED_IN(written_without_fence, one, "its accumulators were written since the last wgmma_fence()");
  const PlantedLaunch ring{1, 160, 1, 64 << 10, [](float*) {
                             static BFloat16 zeros[512];
                             stage_map = tensor_map(TiledTensor{zeros, DType::bf16, 1, {512}, {}, {256}});
                           }};
  CHECK_PLANTED_IN(released_too_early, ring, "wgmma_emu.cpp:");
}
