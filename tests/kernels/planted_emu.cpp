// Planted bugs: the executor finds each with one error, in order and shuffled, and accepts the corrected twin.
#include <doctest/doctest.h>

#include <vector>

#include "kernels/common/ptx.h"
#include "kernels/common/simt.h"
#include "tests/kernels/planted.h"

using namespace graft;
using namespace graft::emu;

namespace {

struct Smem {
  float v[64];
};

template <Bug kBug>
__global__ void read_after_write(float* out) {
  auto& s = shared<Smem>();
  s.v[threadIdx.x] = float(threadIdx.x);
  if constexpr (kBug == Bug::corrected) __syncthreads();
  out[threadIdx.x] = s.v[63 - threadIdx.x];
}

template <Bug kBug>
__global__ void write_after_read(float* out) {
  auto& s = shared<Smem>();
  s.v[threadIdx.x] = float(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = s.v[63 - threadIdx.x];
  if constexpr (kBug == Bug::corrected) __syncthreads();
  s.v[threadIdx.x] = 0;
}

template <Bug kBug>
__global__ void within_a_warp(float* out) {
  auto& s = shared<Smem>();
  s.v[threadIdx.x] = float(threadIdx.x);
  if constexpr (kBug == Bug::corrected) __syncwarp();
  out[threadIdx.x] = s.v[threadIdx.x ^ 1];
}

template <Bug kBug>
__global__ void lost_update(float* out) {
  if constexpr (kBug == Bug::corrected) atomicAdd(out, 1.0f);
  else *out += 1;
}

template <Bug kBug>
__global__ void missing_fence(float* out) {
  if (threadIdx.x) return;
  out[4 + blockIdx.x] = 1;
  if constexpr (kBug == Bug::corrected) __threadfence();
  if (atomicAdd(&out[0], 1.0f) == 1) out[1] = out[4] + out[5];
}

template <Bug kBug>
__global__ void fence_too_late(float* out) {
  if (threadIdx.x) return;
  float before = 0;
  if constexpr (kBug == Bug::planted) before = atomicAdd(&out[0], 1.0f);
  out[4 + blockIdx.x] = 1;
  __threadfence();
  if constexpr (kBug == Bug::corrected) before = atomicAdd(&out[0], 1.0f);
  if (before == 1) out[1] = out[4] + out[5];
}

template <Bug kBug>
__global__ void shared_bounds(float* out) {
  auto& s = shared<Smem>();
  s.v[threadIdx.x] = float(threadIdx.x);
  __syncthreads();
  const unsigned next = threadIdx.x + 1;
  out[threadIdx.x] = s.v[kBug == Bug::corrected ? next % 64 : next];
}

template <Bug kBug>
__global__ void global_bounds(float* out) {
  const int i = int(blockIdx.x * 64 + threadIdx.x);
  if (kBug == Bug::corrected && i >= 64) return;
  out[i] = 1;
}

template <Bug kBug>
__global__ void vector_access(float* out) {
  if (threadIdx.x) return;
  const int offset = kBug == Bug::corrected ? 4 : 2;
  *reinterpret_cast<float4*>(out + offset) = make_float4(1, 2, 3, 4);
}

template <Bug kBug>
__global__ void divergent_barrier(float* out) {
  if constexpr (kBug == Bug::corrected) {
    __syncthreads();
  } else if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

template <Bug kBug>
__global__ void deadlock(float* out) {
  if (threadIdx.x < 32) named_barrier_sync(1, kBug == Bug::corrected ? 32 : 64);
  __syncthreads();
  out[threadIdx.x] = 1;
}

template <Bug kBug>
__global__ void absent_lane(float* out) {
  if (threadIdx.x >= 24) return;
  out[threadIdx.x] = __shfl_sync(~0u, 1.0f, kBug == Bug::corrected ? 23 : 24);
}

template <Bug kBug>
__global__ void mask_without_self(float* out) {
  if (threadIdx.x < 16) __syncwarp(kBug == Bug::corrected ? 0xffffu : 0xff00u);
  out[threadIdx.x] = 1;
}

struct alignas(16) AsyncSmem {
  float v[64];
};

template <Bug kBug>
__global__ void missing_wait(float* out) {
  auto& s = shared<AsyncSmem>();
  if (threadIdx.x < 16) copy_async_16(&s.v[4 * threadIdx.x], out + 4 * threadIdx.x);
  copy_async_commit();
  if constexpr (kBug == Bug::corrected) copy_async_wait<0>();
  __syncthreads();
  out[threadIdx.x] = s.v[63 - threadIdx.x];
}

template <Bug kBug>
__global__ void missing_barrier_after_wait(float* out) {
  auto& s = shared<AsyncSmem>();
  if (threadIdx.x < 16) copy_async_16(&s.v[4 * threadIdx.x], out, false);
  copy_async_commit();
  copy_async_wait<0>();
  if constexpr (kBug == Bug::corrected) __syncthreads();
  out[threadIdx.x] = s.v[63 - threadIdx.x];
}

template <Bug kBug>
__global__ void copy_over_readers(float* out) {
  auto& s = shared<AsyncSmem>();
  s.v[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = s.v[63 - threadIdx.x];
  if constexpr (kBug == Bug::corrected) __syncthreads();
  if (threadIdx.x < 16) copy_async_16(&s.v[4 * threadIdx.x], out, false);
  copy_async_commit();
  copy_async_wait<0>();
}

template <Bug kBug>
__global__ void lanes_of_mma(float* out) {
  if (kBug == Bug::planted && threadIdx.x % 32 >= 30) return;
  float d[4] = {};
  const uint32_t a[4] = {};
  mma_bf16(d, a, 0, 0);
  out[threadIdx.x] = d[0];
}

}  // namespace

TEST_CASE("planted: missing __syncthreads") {
  NEEDS_HOOKS();
  CHECK_PLANTED(read_after_write, 1, "race on shared memory", "planted_emu.cpp:2");
  CHECK_PLANTED(write_after_read, 1, "race on shared memory", "planted_emu.cpp:3");
}
TEST_CASE("planted: missing __syncwarp") {
  NEEDS_HOOKS();
  CHECK_PLANTED(within_a_warp, 1, "race on shared memory", "planted_emu.cpp:");
}
TEST_CASE("planted: lost update, missing fence, fence behind the atomic") {
  NEEDS_HOOKS();
  CHECK_PLANTED(lost_update, 1, "race on global memory", "an update that is not atomic is lost");
  CHECK_PLANTED(missing_fence, 2, "race on global memory");
  CHECK_PLANTED(fence_too_late, 2, "race on global memory");
}
TEST_CASE("planted: out of bounds") {
  NEEDS_HOOKS();
  CHECK_PLANTED(shared_bounds, 1, "thread (63,0,0)", "out of bounds of shared memory: it reads 4 bytes at offset 256 of 256");
  CHECK_PLANTED(global_bounds, 2, "out of bounds of global memory: it writes 4 bytes", "an array of 256 bytes");
}
TEST_CASE("planted: misaligned vector access") {
  NEEDS_HOOKS();
  CHECK_PLANTED(vector_access, 1, "misaligned access", "no multiple of 16", "planted_emu.cpp:");
}
TEST_CASE("planted: asynchronous copies") {
  NEEDS_HOOKS();
  CHECK_PLANTED(missing_wait, 1, "asynchronous copy in flight", "planted_emu.cpp:", "has not waited for");
  CHECK_PLANTED(missing_barrier_after_wait, 1, "race on shared memory", "planted_emu.cpp:");
  CHECK_PLANTED(copy_over_readers, 1, "race on shared memory", "planted_emu.cpp:");
}
TEST_CASE("planted: an mma without all lanes") {
  CHECK_PLANTED(lanes_of_mma, 1, "needs all 32 lanes: expected mask 0xffffffff, got 0x3fffffff");
}
TEST_CASE("planted: divergent barrier, deadlock, absent lane, wrong mask") {
  CHECK_PLANTED(divergent_barrier, 1, "divergent barrier: it waits at planted_emu.cpp:");
  CHECK_PLANTED(deadlock, 1, "deadlock: ", "waits at barrier 1 at planted_emu.cpp:", "(32 threads there)");
  CHECK_PLANTED(absent_lane, 1, "shuffle from lane 24, which has exited");
  CHECK_PLANTED(mask_without_self, 1, "is not in its own mask 0xff00 at planted_emu.cpp:");
}
