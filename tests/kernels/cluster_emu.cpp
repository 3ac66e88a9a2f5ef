// Clusters and mbarriers: what they do, in several schedules, and planted misuse.
#include "kernels/common/cluster.h"

#include <vector>

#include "tests/kernels/planted.h"

using namespace graft;
using namespace graft::emu;

namespace {

__global__ void ranks(int* out) {
  const int block = int(blockIdx.x + gridDim.x * blockIdx.y);
  if (threadIdx.x == 0) out[block] = cluster_rank() * 10 + cluster_size();
}

// Each block adds up what the others hold: sums of 1 + 2 + ... of all threads of the cluster.
__global__ void add_up(float* out) {
  struct Smem {
    float part, sum;
  };
  auto& s = shared<Smem>();
  const float sum = warp_sum(float(blockIdx.x * 32 + threadIdx.x + 1));
  if (threadIdx.x == 0) s.part = sum;
  cluster_sync();
  if (threadIdx.x == 0) {
    s.sum = 0;
    for (int r = 0; r < cluster_size(); ++r) s.sum += *cluster_address(&s.part, r);
    out[blockIdx.x] = s.sum;
  }
  cluster_sync();  // nobody exits while others read
}

// A ring of two slots between warp 0 and warp 1, over two mbarriers a slot.
__global__ void ring(float* out) {
  struct Smem {
    uint64_t full[2], empty[2];
    float v[2][32];
  };
  auto& s = shared<Smem>();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) mbarrier_init(&s.full[i], 32), mbarrier_init(&s.empty[i], 32);
    fence_mbarrier_init();
  }
  __syncthreads();
  const int l = int(threadIdx.x % 32);
  for (int round = 0; round < 7; ++round) {
    const int slot = round % 2, parity = round / 2 % 2;
    if (threadIdx.x < 32) {
      mbarrier_wait(&s.empty[slot], parity ^ 1);  // the first time at once
      s.v[slot][l] = float(round * 100 + l);
      mbarrier_arrive(&s.full[slot]);
    } else {
      mbarrier_wait(&s.full[slot], parity);
      out[round * 32 + l] = s.v[slot][31 - l];
      mbarrier_arrive(&s.empty[slot]);
    }
  }
}

struct RemoteSmem {
  uint64_t b;
  float v;
};

// Every block tells its right neighbour that it has written there.
template <Bug kBug>
__global__ void remote_arrive(float* out) {
  auto& s = shared<RemoteSmem>();
  if (threadIdx.x == 0) {
    mbarrier_init(&s.b, 1);
    fence_mbarrier_init();
  }
  cluster_sync();
  const int right = (cluster_rank() + 1) % cluster_size();
  if (threadIdx.x == 1) {
    *cluster_address(&s.v, right) = float(cluster_rank());
    mbarrier_arrive_remote(&s.b, right);
  }
  if (kBug == Bug::corrected && threadIdx.x == 2) {
    mbarrier_wait(&s.b, 0);
    out[cluster_rank()] = s.v;
  }
  if (kBug == Bug::planted && threadIdx.x == 2) out[cluster_rank()] = s.v;
  cluster_sync();
}

struct OneBarrier {
  uint64_t b;
};

template <Bug kBug>
__global__ void no_init(float*) {
  auto& s = shared<OneBarrier>();
  if (kBug == Bug::corrected && threadIdx.x == 0) mbarrier_init(&s.b, 64);
  __syncthreads();
  mbarrier_arrive(&s.b);
}
template <Bug kBug>
__global__ void unordered_init(float*) {
  auto& s = shared<OneBarrier>();
  if (threadIdx.x == 0) mbarrier_init(&s.b, 1);
  if (kBug == Bug::corrected) __syncthreads();
  if (threadIdx.x == 0) mbarrier_arrive(&s.b);
  if (threadIdx.x == 33) mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void overwritten(float*) {
  auto& s = shared<OneBarrier>();
  if (threadIdx.x) return;
  mbarrier_init(&s.b, 1);
  if (kBug == Bug::planted) s.b = 0;
  mbarrier_arrive(&s.b);
}
template <Bug kBug>
__global__ void too_many_arrivals(float*) {
  auto& s = shared<OneBarrier>();
  if (threadIdx.x) return;
  mbarrier_init(&s.b, 1);
  mbarrier_arrive_expect(&s.b, kBug == Bug::planted ? 16 : 0);
  mbarrier_arrive(&s.b);
}
template <Bug kBug>
__global__ void wrong_parity(float*) {
  auto& s = shared<OneBarrier>();
  if (threadIdx.x == 0) mbarrier_init(&s.b, 64);
  __syncthreads();
  mbarrier_arrive(&s.b);
  mbarrier_wait(&s.b, 0);
  mbarrier_arrive(&s.b);
  mbarrier_wait(&s.b, kBug == Bug::corrected ? 1 : 0);
  if (threadIdx.x == 0) mbarrier_arrive(&s.b);
  if (kBug == Bug::planted) mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void missing_arrival(float*) {
  auto& s = shared<OneBarrier>();
  if (threadIdx.x == 0) mbarrier_init(&s.b, 64);
  __syncthreads();
  if (kBug == Bug::corrected || threadIdx.x) mbarrier_arrive(&s.b);
  mbarrier_wait(&s.b, 0);
}
template <Bug kBug>
__global__ void exits_too_early(float* out) {
  auto& s = shared<RemoteSmem>();
  if (threadIdx.x == 0) s.v = 1;
  cluster_sync();
  if (cluster_rank() == 1 && threadIdx.x == 0) {
    for (int i = 0; i < 50; ++i) __nanosleep(100);
    out[0] = *cluster_address(&s.v, 0);
  }
  if (kBug == Bug::corrected) cluster_sync();
}
template <Bug kBug>
__global__ void cluster_barrier_missing(float* out) {
  auto& s = shared<RemoteSmem>();
  if (threadIdx.x == 0) s.v = 1;
  if (kBug == Bug::corrected) cluster_sync();
  else __syncthreads();
  if (threadIdx.x == 0) out[cluster_rank()] = *cluster_address(&s.v, 1 - cluster_rank());
  cluster_sync();
}
template <Bug kBug>
__global__ void cluster_deadlock(float*) {
  if (kBug == Bug::corrected || cluster_rank() == 0) cluster_arrive();
  else __syncthreads();
  if (kBug == Bug::planted && cluster_rank() == 1) named_barrier_sync(1, 96);
  cluster_wait();
}

}  // namespace

TEST_CASE("cluster: ranks in two dimensions") {
  std::vector<int> out(24);
  Context c(1);
  launch_cluster(ranks, dim3(6, 4), dim3(2, 2), 32, 0, c, out.data());
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 6; ++x) CHECK(out[size_t(y * 6 + x)] == (x % 2 + y % 2 * 2) * 10 + 4);
  CHECK_THROWS_WITH_AS(launch_cluster(ranks, dim3(6), dim3(4), 32, 0, c, out.data()), doctest::Contains("whole clusters"), Error);
}

TEST_CASE("cluster: distributed shared memory, remote arrivals") {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    options().seed = seed;
    std::vector<float> out(8);
    Context c(1);
    launch_cluster(add_up, 8, 4, 32, 0, c, out.data());
    for (int b = 0; b < 8; ++b) CHECK(out[size_t(b)] == (b < 4 ? 128 * 129 / 2 : 256 * 257 / 2 - 128 * 129 / 2));
    launch_cluster(remote_arrive<Bug::corrected>, 4, 4, 32, 0, c, out.data());
    for (int b = 0; b < 4; ++b) CHECK(out[size_t(b)] == float((b + 3) % 4));
  }
  options().seed = 0;
}

TEST_CASE("mbarrier: a ring between two warps") {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    options().seed = seed;
    std::vector<float> out(7 * 32);
    Context c(1);
    launch(ring, 1, 64, 0, c, out.data());
    for (int i = 0; i < 7 * 32; ++i) CHECK(out[size_t(i)] == float(i / 32 * 100 + 31 - i % 32));
  }
  options().seed = 0;
}

TEST_CASE("planted: misuse of an mbarrier") {
  CHECK_PLANTED(no_init, 1, "mbarrier.arrive at cluster_emu.cpp:", "it was not initialised");
  CHECK_PLANTED(overwritten, 1, "something was written over the mbarrier of 1 arrivals made at cluster_emu.cpp:");
  CHECK_PLANTED(too_many_arrivals, 1, "one arrival too many", "waits for 16 bytes");
  CHECK_PLANTED(wrong_parity, 1, "deadlock", "waits for parity 0 of the mbarrier of 64 arrivals",
                "(63 arrivals missing, 0 of 0 bytes");
  CHECK_PLANTED(missing_arrival, 1, "deadlock", "waits for parity 0 of the mbarrier", "(1 arrivals missing", "(64 threads there)");
}
TEST_CASE("planted: an mbarrier used before it is ready, its data read before the wait") {
  NEEDS_HOOKS();
  CHECK_PLANTED(unordered_init, 1, "cluster_emu.cpp:");
  CHECK_PLANTED_IN(remote_arrive, (PlantedLaunch{2, 32, 2}), "race on shared memory", "cluster_emu.cpp:");
}
TEST_CASE("planted: clusters") {
  CHECK_PLANTED_IN(cluster_deadlock, (PlantedLaunch{2, 32, 2}), "deadlock", "waits at the barrier of the cluster, with 32 arrived",
                   "waits at barrier 1 at");
  NEEDS_HOOKS();
  CHECK_PLANTED_IN(exits_too_early, (PlantedLaunch{2, 32, 2}),
                   "shared memory of a block that has exited: it reads 4 bytes of block (0,0,0)");
  CHECK_PLANTED_IN(cluster_barrier_missing, (PlantedLaunch{2, 32, 2}), "race on shared memory: it", "block (");
}
