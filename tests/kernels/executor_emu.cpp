// The execution model: each kernel uses one feature and its result says whether it worked, in order and shuffled.
#include <doctest/doctest.h>

#include <vector>

#include "kernels/common/simt.h"
#include "kernels/runtime/emu/emu.h"

using namespace graft;
using namespace graft::emu;

namespace {

// Runs f in five schedules, with `data` as the only visible memory.
template <class T, class F>
void in_schedules(std::vector<T>& data, F f) {
  const std::vector<T> start = data;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    options().seed = seed;
    data = start;
    Visible visible(data.data(), data.size() * sizeof(T));
    f();
  }
  options().seed = 0;
}

__global__ void index_3d(int* out) {
  const int thread = int(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
  const int block = int(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
  out[block * int(blockDim.x * blockDim.y * blockDim.z) + thread] = block * 1000 + thread;
}

__global__ void reverse(int* data, int n) {
  struct Smem {
    int v[100];
  };
  auto& s = shared<Smem>();
  const int i = int(threadIdx.x);
  if (i >= n) return;  // early exit: the barrier is of those that are left
  s.v[i] = data[i];
  __syncthreads();
  data[i] = s.v[n - 1 - i];
}

__global__ void scan_in_dynamic(int* data) {
  int* s = dynamic_shared<int>();
  const int i = int(threadIdx.x);
  s[i] = data[i];
  for (int d = 1; d < int(blockDim.x); d *= 2) {
    __syncthreads();
    const int v = i >= d ? s[i - d] : 0;
    __syncthreads();
    s[i] += v;
  }
  data[i] = s[i];
}

__global__ void shuffles(int* out) {
  const int l = int(threadIdx.x);
  out[l] = __shfl_xor_sync(~0u, l, 5);
  out[32 + l] = __shfl_down_sync(~0u, l, 3, 8);
  out[64 + l] = __shfl_up_sync(~0u, l, 1);
  out[96 + l] = int(__ballot_sync(~0u, l % 3 == 0));
  if (l < 12) out[128 + l] = __shfl_sync(0xfffu, l * l, 11 - l);  // branches with their own masks
  else out[128 + l] = __popc(__ballot_sync(~0xfffu, l & 1));
}

__global__ void votes(int* out) {
  out[threadIdx.x] = __syncthreads_count(threadIdx.x % 5 == 0) * 100 + __syncthreads_or(threadIdx.x == 69) * 10 +
                     __all_sync(__ballot_sync(~0u, 1), 1);
}

__global__ void producer_consumer(float* out) {  // warp 0 fills, warp 1 reads: barriers 1 (full) and 2 (empty)
  struct Smem {
    float v[32];
  };
  auto& s = shared<Smem>();
  const int l = int(threadIdx.x % 32);
  for (int round = 0; round < 4; ++round) {
    if (threadIdx.x < 32) {
      if (round) named_barrier_sync(2, 64);
      s.v[l] = float(round * 100 + l);
      named_barrier_arrive(1, 64);
    } else {
      named_barrier_sync(1, 64);
      out[round * 32 + l] = s.v[31 - l];
      if (round < 3) named_barrier_arrive(2, 64);
    }
  }
}

__global__ void histogram(int* counts, int n) {
  for (int i = int(global_thread()); i < n; i += int(global_threads())) atomicAdd(&counts[i % 7], 1);
}

__global__ void last_block_sum(float* out, float* parts, unsigned* done, const float* x) {
  struct Smem {
    bool last;
  };
  auto& s = shared<Smem>();
  const float sum = warp_sum(x[global_thread()]);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
    __threadfence();
    s.last = atomicInc(done, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!s.last || threadIdx.x) return;
  float total = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) total += parts[b];
  *out = total;
}

__global__ void spin_lock(int* data) {
  while (atomicCAS(&data[0], 0, 1)) {
  }
  atomicAdd(&data[1], 1);
  atomicExch(&data[0], 0);
}

__global__ void warp_tile(float* out) {
  struct Smem {
    float v[2][32];
  };
  auto& s = shared<Smem>();
  const int l = int(threadIdx.x % 32), w = int(threadIdx.x / 32);
  s.v[w][l] = float(l);
  __syncwarp();
  out[threadIdx.x] = s.v[w][l ^ 1];
}

}  // namespace

TEST_CASE("executor: blocks and threads in three dimensions, partial warps") {
  std::vector<int> out(2 * 3 * 2 * 5 * 3 * 3);
  in_schedules(out, [&] {
    Context c(1);
    launch(index_3d, dim3(2, 3, 2), dim3(5, 3, 3), 0, c, out.data());
    for (int i = 0; i < int(out.size()); ++i) CHECK(out[size_t(i)] == i / 45 * 1000 + i % 45);
  });
}

TEST_CASE("executor: barriers with early exit, static and dynamic shared memory") {
  std::vector<int> data(100);
  for (int i = 0; i < 100; ++i) data[size_t(i)] = i;
  in_schedules(data, [&] {
    Context c(1);
    launch(reverse, 1, 128, 0, c, data.data(), 77);
    CHECK(data[0] == 76);
    CHECK(data[76] == 0);
    CHECK(data[77] == 77);
    launch(scan_in_dynamic, 1, 77, 77 * sizeof(int), c, data.data());
    for (int i = 0; i < 77; ++i) CHECK(data[size_t(i)] == (i + 1) * 76 - i * (i + 1) / 2);
  });
}

TEST_CASE("executor: shuffles, votes, branches with masks") {
  std::vector<int> out(160);
  in_schedules(out, [&] {
    Context c(1);
    launch(shuffles, 1, 32, 0, c, out.data());
    for (int l = 0; l < 32; ++l) {
      CHECK(out[size_t(l)] == (l ^ 5));
      CHECK(out[size_t(32 + l)] == (l % 8 < 5 ? l + 3 : l));
      CHECK(out[size_t(64 + l)] == (l ? l - 1 : 0));
      CHECK(unsigned(out[size_t(96 + l)]) == 0x49249249u);
      CHECK(out[size_t(128 + l)] == (l < 12 ? (11 - l) * (11 - l) : 10));
    }
    launch(votes, 1, 70, 0, c, out.data());
    for (int i = 0; i < 70; ++i) CHECK(out[size_t(i)] == 1411);
  });
}

TEST_CASE("executor: named barriers between warps, __syncwarp") {
  std::vector<float> out(128);
  in_schedules(out, [&] {
    Context c(1);
    launch(producer_consumer, 1, 64, 0, c, out.data());
    for (int i = 0; i < 128; ++i) CHECK(out[size_t(i)] == float(i / 32 * 100 + 31 - i % 32));
    launch(warp_tile, 1, 64, 0, c, out.data());
    for (int i = 0; i < 64; ++i) CHECK(out[size_t(i)] == float((i % 32) ^ 1));
  });
}

TEST_CASE("executor: atomics, a spin lock, the last block adds up") {
  std::vector<int> counts(7);
  in_schedules(counts, [&] {
    Context c(1);
    launch(histogram, 3, 40, 0, c, counts.data(), 700);
    for (int v : counts) CHECK(v == 100);
    counts = std::vector<int>(7);
  });
  std::vector<int> lock(2);
  in_schedules(lock, [&] {
    Context c(1);
    launch(spin_lock, 2, 48, 0, c, lock.data());
    CHECK(lock[1] == 96);
  });
  std::vector<float> memory(1 + 4 + 1 + 128, 1.0f);
  memory[5] = 0;
  in_schedules(memory, [&] {
    Context c(1);
    float* m = memory.data();
    launch(last_block_sum, 4, 32, 0, c, m, m + 1, reinterpret_cast<unsigned*>(m + 5), m + 6);
    CHECK(memory[0] == 128);
  });
}

TEST_CASE("executor: a launch that CUDA would refuse") {
  Context c(1);
  int* none = nullptr;
  CHECK_THROWS_WITH_AS(launch(index_3d, 1, 1025, 0, c, none), doctest::Contains("index_3d: block (1025,1,1): expected 1 to 1024"),
                       Error);
  CHECK_THROWS_AS(launch(index_3d, 0, 1, 0, c, none), Error);
  CHECK_THROWS_AS(launch(index_3d, dim3(1, 70000), 1, 0, c, none), Error);
  CHECK_THROWS_AS(launch(index_3d, 1, 1, 300 << 10, c, none), Error);
}
