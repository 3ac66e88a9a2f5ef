// wgmma: operands as TMA lays them down, in every majorness and swizzle, against plain products of small integers (exact); planted
// misuse.
#include "kernels/common/wgmma.h"

#include <vector>

#include "kernels/common/philox.h"
#include "tests/kernels/planted.h"

using namespace graft;
using namespace graft::emu;

namespace {

constexpr int kLines = 128;  // bytes of k in a tile

template <int kRows>
struct alignas(1024) Tile {
  std::byte bytes[kRows * kLines];
};
template <int kN>
struct Tiles {
  Tile<64> a;
  Tile<kN> b;
  uint64_t full;
};

// Boxes of a tile of kRows of m or n by 128 bytes of k: rows of `width` bytes along k, or along m (n).
template <Major kMajor, int kRows, class T>
__device__ void load(Tile<kRows>& tile, const TensorMap& map, uint64_t* b, int width) {
  const int per_width = width / int(sizeof(T)), depth = kLines / int(sizeof(T));
  if (kMajor == Major::k)
    for (int i = 0; i < kLines / width; ++i) tma_load(tile.bytes + i * kRows * width, map, b, i * per_width, 0);
  else
    for (int i = 0; i < kRows / per_width; ++i) tma_load(tile.bytes + i * depth * width, map, b, i * per_width, 0);
}
// The operand of step `step`, 32 bytes of k.
template <Major kMajor, int kRows, class T>
__device__ uint64_t operand(const Tile<kRows>& tile, Swizzle swizzle, int step) {
  const int width = swizzle_bytes(swizzle), depth = kLines / int(sizeof(T)), per_step = 32 / int(sizeof(T));
  if (kMajor == Major::k)
    return matrix_descriptor(tile.bytes + step * 32 / width * kRows * width + step * 32 % width, swizzle, 16, 8 * width);
  return matrix_descriptor(tile.bytes + step * per_step * width, swizzle, depth * width, 8 * width);
}

// d[64, n] = a b, and once more d += a b, over 128 bytes of k.
template <class T, Major kA, Major kB, int kN>
__global__ void __launch_bounds__(128)
    product(float* out, const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, Swizzle swizzle) {
  auto& s = aligned_shared<Tiles<kN>>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.full, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(&s.full, int(sizeof(s.a) + sizeof(s.b)));
    load<kA, 64, T>(s.a, a, &s.full, swizzle_bytes(swizzle));
    load<kB, kN, T>(s.b, b, &s.full, swizzle_bytes(swizzle));
  }
  __syncthreads();
  mbarrier_wait(&s.full, 0);
  float d[kN / 2];
  wgmma_fence(d);
  for (int step = 0; step < 4; ++step)
    wgmma<T, kA, kB>(d, operand<kA, 64, T>(s.a, swizzle, step), operand<kB, kN, T>(s.b, swizzle, step), step > 0);
  wgmma_commit();
  for (int step = 0; step < 4; ++step)
    wgmma<T, kA, kB>(d, operand<kA, 64, T>(s.a, swizzle, step), operand<kB, kN, T>(s.b, swizzle, step), true);
  wgmma_commit();
  wgmma_wait<1>(d);
  wgmma_wait<0>(d);
  const int warp = int(threadIdx.x) / 32, g = int(threadIdx.x) % 32 / 4, t = int(threadIdx.x) % 4;
  for (int i = 0; i < kN / 2; ++i) {
    const int row = 16 * warp + g + 8 * (i / 2 % 2), column = 8 * (i / 4) + 2 * t + i % 2;
    out[row * kN + column] = d[i];
  }
}

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

// a from registers or shared memory, both without a swizzle, placed by hand: chunks of 8 x 16 bytes.
template <Major kMajor, bool kRegisters>
__global__ void __launch_bounds__(128) without_swizzle(float* out, const BFloat16* a, const BFloat16* b) {
  struct alignas(128) Smem {
    uint16_t a[64 * 16], b[32 * 16];
  };
  auto& s = shared<Smem>();
  const auto place = [](int i, int k, int rows) {
    return kMajor == Major::k ? i / 8 * 128 + k / 8 * 64 + i % 8 * 8 + k % 8 : i / 8 * 64 + k / 8 * (rows * 8) + k % 8 * 8 + i % 8;
  };
  const int t = int(threadIdx.x);
  for (int i = t; i < 64 * 16; i += 128) s.a[place(i / 16, i % 16, 64)] = a[i].bits;
  for (int i = t; i < 32 * 16; i += 128) s.b[place(i / 16, i % 16, 32)] = b[i].bits;
  fence_async();
  __syncthreads();
  const auto descriptor = [&](const uint16_t* p, int rows) {
    return kMajor == Major::k ? matrix_descriptor(p, Swizzle::none, 128, 256) : matrix_descriptor(p, Swizzle::none, rows * 16, 128);
  };
  const int row = t / 32 * 16 + t % 32 / 4, q = t % 4 * 2;
  float d[16] = {};
  uint32_t ra[4];
  for (int r = 0; r < 4; ++r)
    for (int e = 0; e < 2; ++e) {
      const uint32_t bits = a[(row + r % 2 * 8) * 16 + q + r / 2 * 8 + e].bits;
      ra[r] = e ? ra[r] | bits << 16 : bits;
    }
  wgmma_fence(d);
  if constexpr (kRegisters) wgmma<BFloat16, kMajor>(d, ra, descriptor(s.b, 32), false);
  else wgmma<BFloat16, kMajor, kMajor>(d, descriptor(s.a, 64), descriptor(s.b, 32), false);
  wgmma_commit();
  wgmma_wait<0>(d);
  for (int i = 0; i < 16; ++i) out[(row + i / 2 % 2 * 8) * 32 + i / 4 * 8 + q + i % 2] = d[i];
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

// tf32, a from registers.
__global__ void __launch_bounds__(128) tf32_registers(float* out, const float* a, const float* b) {
  struct alignas(128) Smem {
    float b[16 * 8];
  };
  auto& s = shared<Smem>();
  const int t = int(threadIdx.x);
  s.b[t / 64 * 64 + t % 8 / 4 * 32 + t / 8 % 8 * 4 + t % 4] = b[t];  // chunks of 8 n x 4 k
  fence_async();
  __syncthreads();
  const int row = t / 32 * 16 + t % 32 / 4, q = t % 4;
  uint32_t ra[4];
  for (int r = 0; r < 4; ++r) ra[r] = to_tf32(a[(row + r % 2 * 8) * 8 + q + r / 2 * 4]);
  float d[8];
  wgmma_fence(d);
  wgmma<float, Major::k>(d, ra, matrix_descriptor(s.b, Swizzle::none, 128, 256), false);
  wgmma_commit();
  wgmma_wait<0>(d);
  for (int i = 0; i < 8; ++i) out[(row + i / 2 % 2 * 8) * 16 + i / 4 * 8 + 2 * q + i % 2] = d[i];
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
  const int offset = kCorrect || kWhich != 2 ? 0 : 64;  // one row further: another phase of the swizzle
  uint64_t a = matrix_descriptor(s.a + offset, Swizzle::b128, 16, 1024);
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
  CHECK_PLANTED_IN(pattern_misaligned, one,
                   "descriptor of a: expected base offset 0 and a pattern that begins at a multiple of 1024");
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
