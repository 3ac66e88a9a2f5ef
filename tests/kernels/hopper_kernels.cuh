// Kernels that do one thing with TMA or wgmma and write down what came of it: run on emu against plain loops (tma_emu.cpp,
// wgmma_emu.cpp), and on a GPU against emu (conformance_hopper.cuh).
#pragma once
#include "kernels/common/half.h"
#include "kernels/common/wgmma.h"

namespace graft::GRAFT_GPU {
namespace {

struct Box {
  alignas(1024) float data[4096];
  uint64_t b;
};
constexpr size_t kBytes = aligned_shared_bytes<Box>;

// Loads one box and copies shared memory out as it is.
template <int kRank, bool kIm2col>
__global__ void load_box(float* out, const __grid_constant__ TensorMap map, int bytes, int c0, int c1, int c2, int c3, int c4,
                         int o0, int o1) {
#if defined(GRAFT_SM_90A)
  auto& s = aligned_shared<Box>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.b, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(&s.b, bytes);
    if constexpr (kIm2col && kRank == 3) tma_load_im2col(s.data, map, &s.b, c0, c1, c2, o0);
    else if constexpr (kIm2col) tma_load_im2col(s.data, map, &s.b, c0, c1, c2, c3, o0, o1);
    else if constexpr (kRank == 1) tma_load(s.data, map, &s.b, c0);
    else if constexpr (kRank == 2) tma_load(s.data, map, &s.b, c0, c1);
    else if constexpr (kRank == 3) tma_load(s.data, map, &s.b, c0, c1, c2);
    else if constexpr (kRank == 4) tma_load(s.data, map, &s.b, c0, c1, c2, c3);
    else tma_load(s.data, map, &s.b, c0, c1, c2, c3, c4);
  }
  __syncthreads();
  mbarrier_wait(&s.b, 0);
  for (int i = int(threadIdx.x); i < bytes / 4; i += int(blockDim.x)) out[i] = s.data[i];
#endif
}

// Doubles a tile of x, through shared memory and back, with stores in two groups.
__global__ void double_tiles(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap y) {
#if defined(GRAFT_SM_90A)
  auto& s = aligned_shared<Box>();
  const int i0 = int(blockIdx.y) * 8, j0 = int(blockIdx.x) * 32;
  if (threadIdx.x == 0) {
    mbarrier_init(&s.b, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(&s.b, 2 * 1024);
    tma_load(s.data, x, &s.b, j0, i0);
    tma_load(s.data + 256, x, &s.b, j0, i0 + 16);
  }
  __syncthreads();
  mbarrier_wait(&s.b, 0);
  for (int i = int(threadIdx.x); i < 512; i += int(blockDim.x)) s.data[i] *= 2;
  fence_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    tma_store(y, s.data, j0, i0);
    tma_store_commit();
    tma_store(y, s.data + 256, j0, i0 + 16);
    tma_store_commit();
    tma_store_wait_read<1>();
    s.data[0] = -1;  // its source has been read
    tma_store_wait<0>();
  }
#endif
}

// Each block of a pair loads half of the tile and sends it to both.
__global__ void multicast(float* out, const __grid_constant__ TensorMap map) {
#if defined(GRAFT_SM_90A)
  auto& s = aligned_shared<Box>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.b, 1);
    fence_mbarrier_init();
  }
  cluster_sync();
  if (threadIdx.x == 0) {
    mbarrier_arrive_expect(&s.b, 2 * 1024);
    tma_load_multicast(s.data + 256 * cluster_rank(), map, &s.b, 3, 0, 8 * cluster_rank());
  }
  mbarrier_wait(&s.b, 0);
  for (int i = int(threadIdx.x); i < 512; i += int(blockDim.x)) out[blockIdx.x * 512 + i] = s.data[i];
  cluster_sync();
#endif
}

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
#if defined(GRAFT_SM_90A)
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
#endif
}

// Operands that begin in any line of one tile, of 112 lines of 64 bf16 along which their pattern repeats every eight: over 64 of k,
//   d[64, 64]  = (lines from 5 on) (lines from 3 on)^T
// and with 32 lines along k, three blocks of 64 columns that begin a line after each other,
//   e[64, 192] = (lines from 7 on)^T (lines from 1 + block on)
__global__ void __launch_bounds__(128) product_of_lines(float* out, const __grid_constant__ TensorMap map) {
#if defined(GRAFT_SM_90A)
  struct alignas(1024) Smem {
    BFloat16 tile[112 * 64];
    uint64_t full;
  };
  auto& s = aligned_shared<Smem>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.full, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(&s.full, int(sizeof(s.tile)));
    tma_load(s.tile, map, &s.full, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(&s.full, 0);
  const auto from = [&](int line, int leading) { return matrix_descriptor(s.tile + 64 * line, Swizzle::b128, leading, 1024); };
  float d[32], e[96];
  wgmma_fence(d, e);
  for (int step = 0; step < 4; ++step)
    wgmma<BFloat16, Major::k, Major::k>(d, from(5, 16) + unsigned(2 * step), from(3, 16) + unsigned(2 * step), step > 0);
  for (int step = 0; step < 2; ++step)
    wgmma<BFloat16, Major::mn, Major::mn>(e, from(7 + 16 * step, 16), from(1 + 16 * step, 128), step > 0);
  wgmma_commit();
  wgmma_wait<0>(d, e);
  const int row = int(threadIdx.x) / 32 * 16 + int(threadIdx.x) % 32 / 4, column = int(threadIdx.x) % 4 * 2;
  for (int i = 0; i < 32; ++i) out[(row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + column + i % 2] = d[i];
  for (int i = 0; i < 96; ++i) out[64 * 64 + (row + i / 2 % 2 * 8) * 192 + i / 4 * 8 + column + i % 2] = e[i];
#endif
}

// a from registers or shared memory, both without a swizzle, placed by hand: chunks of 8 x 16 bytes.
template <Major kMajor, bool kRegisters>
__global__ void __launch_bounds__(128) without_swizzle(float* out, const BFloat16* a, const BFloat16* b) {
#if defined(GRAFT_SM_90A)
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
#endif
}

// tf32, a from registers.
__global__ void __launch_bounds__(128) tf32_registers(float* out, const float* a, const float* b) {
#if defined(GRAFT_SM_90A)
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
#endif
}

}  // namespace
}  // namespace graft::GRAFT_GPU
