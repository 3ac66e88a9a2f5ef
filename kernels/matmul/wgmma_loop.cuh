// The tensor-core loop of Hopper: bf16 tiles brought by TMA into a ring of shared memory, multiplied by wgmma straight from there.
// What versions 7 and 8 share.
//
//   ring       kStages slots of a tile of a, 128 x 64, and one of b, kTileN x 64. Two mbarriers a slot: `full` ends its phase when
//              the bytes have come, `empty` when every warp that reads it is done. One thread fills, 256 multiply; nobody else
//              waits
//   operands   tiles lie as in memory, lines along k or along m (n): the descriptor of wgmma transposes for free. 128-byte lines,
//              swizzled by TMA so that eight lines of one chunk lie in eight groups of banks
//   edges      what lies outside of a matrix TMA fills with zeros; its bytes count like others
//   registers  the producer gives up what the two consumer warpgroups need: 64 x kTileN sums are kTileN / 2 a thread
#pragma once
#include "kernels/common/wgmma.h"
#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTileM = 128, kDepth = 64, kStages = 4;
constexpr int kConsumers = 2, kWgmmaThreads = 128 * (1 + kConsumers), kConsumerWarps = 4 * kConsumers;
constexpr int kLine = 128, kEight = 8 * kLine;  // bytes of a line of a tile; of eight

template <int kTileN>
struct alignas(1024) Ring {
  BFloat16 a[kStages][kTileM * kDepth], b[kStages][kTileN * kDepth];
  uint64_t full[kStages], empty[kStages];
};

// Where in the ring: the same walk for the producer and for each consumer.
struct Slot {
  int index = 0, parity = 0;
  __device__ void next() {
    if (++index == kStages) index = 0, parity ^= 1;
  }
};

template <Along kAlong>
constexpr Major kMajor = kAlong == Along::k ? Major::k : Major::mn;

// An operand of `outers` by k of each group, in boxes of kRows by 64 of k: one box of kRows lines, or one for each 64 of the outer
// index.
template <class Operand, int kRows>
TensorMap operand_map(const Operand& o, int outers, int k, int groups) {
  constexpr bool kAlongK = Operand::kAlong == Along::k;
  return tensor_map(TiledTensor{o.x,
                                DType::bf16,
                                3,
                                {kAlongK ? k : outers, kAlongK ? outers : k, groups},
                                {2 * o.line, 2 * o.group},
                                {64, kAlongK ? kRows : 64, 1},
                                Swizzle::b128});
}
template <Along kAlong, int kRows, class Load>
__device__ void load_operand(BFloat16* tile, int outer, int k, int g, Load load) {
  if constexpr (kAlong == Along::k) {
    load(tile, k, outer, g);
  } else {
#pragma unroll
    for (int i = 0; i < kRows / 64; ++i) load(tile + i * 64 * kDepth, outer + 64 * i, k, g);
  }
}

// The descriptor of a tile at its first 16 of k, and how far the next 16 are, in its units of 16 bytes.
template <Along kAlong>
__device__ uint64_t operand_descriptor(const BFloat16* tile) {
  return matrix_descriptor(tile, Swizzle::b128, 64 * kLine, kEight);
}
template <Along kAlong>
constexpr int kStep16 = (kAlong == Along::k ? 32 : 16 * kLine) / 16;

template <int kTileN>
__device__ void init_ring(Ring<kTileN>& s, int readers) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) mbarrier_init(&s.full[i], 1), mbarrier_init(&s.empty[i], readers);
    fence_mbarrier_init();
  }
}

// sum = the consumer's 64 rows of a times b over `steps` tiles of k. One product is under way while the next is issued; then the
// slot before is given back: release(slot index), by each warp.
template <Along kAlongA, Along kAlongB, int kTileN, class Release>
__device__ void multiply_ring(float (&sum)[kTileN / 2], Ring<kTileN>& s, Slot& slot, int steps, int consumer, Release release) {
  const uint64_t a0 = operand_descriptor<kAlongA>(s.a[0] + consumer * 64 * kDepth), b0 = operand_descriptor<kAlongB>(s.b[0]);
  int before = 0;
  for (int step = 0; step < steps; ++step) {
    mbarrier_wait(&s.full[slot.index], slot.parity);
    const uint64_t a = a0 + unsigned(slot.index) * (sizeof(s.a[0]) / 16), b = b0 + unsigned(slot.index) * (sizeof(s.b[0]) / 16);
    wgmma_fence(sum);
#pragma unroll
    for (int i = 0; i < kDepth / 16; ++i)
      wgmma<BFloat16, kMajor<kAlongA>, kMajor<kAlongB>>(sum, a + unsigned(i * kStep16<kAlongA>), b + unsigned(i * kStep16<kAlongB>),
                                                        step > 0 || i > 0);
    wgmma_commit();
    wgmma_wait<1>(sum);
    if (step > 0) release(before);
    before = slot.index;
    slot.next();
  }
  wgmma_wait<0>(sum);
  release(before);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
