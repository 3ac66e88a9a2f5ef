// Tiles in equal shares, where they do not fill whole rounds of blocks: 384 tiles take two rounds of 264 blocks, in shares 1.45.
// A place is a block that works through a share, a stretch of all steps of k of all tiles, tile after tile:
//
//     place 0  [ tile 0           ][ tile 1 ..  ]
//     place 1  [ .. tile 1 ][ tile 2            ][ tile 3 ..     from its end to its beginning: first the first steps of tile 3
//
// What place 0 has summed of tile 1 it leaves in memory, and place 1 goes on from there: the bits are those of one block, whatever
// the number of tiles, so that forward passes may be shared too. Since each place begins with what it leaves and ends with what it
// goes on from, and has a tile's work at least, nobody waits in practice. Places are taken in turn, not by block: so a block only
// waits for one that has begun, in whatever order a GPU starts them.
// (Sums in memory instead of a split k: Stream-K, Osama et al. 2023, adds parts up, and its bits depend on the number of places.)
#pragma once
#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"

namespace graft::GRAFT_GPU {
namespace {

// Steps begin to end of k of a tile.
struct Part {
  int tile, begin, end;
};

// The parts of a place: whole tiles side by side with those of the others, then its share of the first `shared` tiles.
class Work {
  int tiles_, places_, steps_, whole_, first_, at_;

 public:
  __device__ Work(int place, int places, int tiles, int shared, int steps)
      : tiles_(tiles),
        places_(places),
        steps_(steps),
        whole_(shared + place),
        first_(place * shared * steps / places),
        at_((place + 1) * shared * steps / places) {}
  __device__ bool next(Part& part) {
    if (whole_ < tiles_) {
      part = {whole_, 0, steps_};
      whole_ += places_;
      return true;
    }
    if (at_ <= first_) return false;
    const int tile = (at_ - 1) / steps_, start = tile * steps_;
    part = {tile, max(first_ - start, 0), at_ - start};
    at_ = start + part.begin;
    return true;
  }
};

// Where sums wait, kCount of each of kBlock threads.
template <int kBlock, int kCount>
struct Shares {
  int tiles = 0;           // that are shared; 0: a block a tile
  int* turns = nullptr;    // [1 + places], zeros: how many places are taken; whether the sums of a place wait
  float4* sums = nullptr;  // [places, kFours, threads]
  static constexpr int kThreadsOfBlock = kBlock, kFours = kCount / 4;

  __device__ int take_place() const { return atomicAdd(turns, 1); }
  __device__ float4* sums_of(int place) const { return sums + place * kFours * kThreadsOfBlock + int(threadIdx.x); }
  __device__ void leave(int place, const float* sum) const {
    float4* const to = sums_of(place);
#pragma unroll
    for (int i = 0; i < kFours; ++i)
      to[i * kThreadsOfBlock] = make_float4(sum[4 * i], sum[4 * i + 1], sum[4 * i + 2], sum[4 * i + 3]);
    __syncthreads();
    if (threadIdx.x > 0) return;
    __threadfence();
    atomicExch(&turns[1 + place], 1);
  }
  __device__ void go_on(int place, float* sum) const {
    if (threadIdx.x == 0) {
      while (atomicAdd(&turns[1 + place], 0) == 0) __nanosleep(100);
      __threadfence();
    }
    __syncthreads();
    const float4* const from = sums_of(place);
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
      const float4 x = from[i * kThreadsOfBlock];
      sum[4 * i] = x.x, sum[4 * i + 1] = x.y, sum[4 * i + 2] = x.z, sum[4 * i + 3] = x.w;
    }
  }
};

__global__ void __launch_bounds__(kThreads) clear_turns(int* turns, int count) {
  if (global_thread() < count) turns[global_thread()] = 0;
}

// run(shares) with memory for `places`, while run() lasts.
template <class Shares, class Run>
void with_shares(Context& context, int tiles, int places, Run run) {
  const auto turns = device_scratch<int>(context, size_t(1 + places));
  const auto sums = device_scratch<float4>(context, size_t(places) * Shares::kFours * Shares::kThreadsOfBlock);
  launch_threads(context, 1 + places, clear_turns, turns.get(), 1 + places);
  run(Shares{tiles, turns.get(), sums.get()});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
