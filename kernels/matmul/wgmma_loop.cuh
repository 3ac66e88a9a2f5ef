// The tensor-core loop of Hopper: tiles brought by TMA into a ring of shared memory, multiplied by wgmma straight from there; bf16
// tensors, or fp32 tensors along k, of which wgmma sees the upper 19 bits (tf32, cut). What versions 7 and 8 share.
//
//   ring       slots of a tile of a, 128 by 128 bytes of k, and one of b, kTileN by 128 bytes. Two mbarriers a slot: `full` ends
//              its phase when the bytes have come, `empty` when every warp that reads it is done. One thread fills, 256
//              multiply; nobody else waits
//   operands   tiles lie as in memory, lines along k or along m (n): the descriptor of wgmma transposes for free. 128-byte lines,
//              swizzled by TMA so that eight lines of one chunk lie in eight groups of banks
//   edges      what lies outside of a matrix TMA fills with zeros; its bytes count like others
//   registers  the producer gives up what the two consumer warpgroups need: 64 x kTileN sums are kTileN / 2 a thread
#pragma once
#include <type_traits>

#include "kernels/common/wgmma.h"
#include "kernels/matmul/split.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTileM = 128, kStages = 4;
constexpr int kConsumers = 2, kWgmmaThreads = 128 * (1 + kConsumers), kConsumerWarps = 4 * kConsumers;
constexpr int kLine = 128, kEight = 8 * kLine;  // bytes of a line of a tile; of eight
template <class T>
constexpr int kPerLine = kLine / int(sizeof(T));  // elements of a line, and of k in a tile

template <class T, int kTileN, int kSlots = kStages>
struct alignas(1024) Ring {
  T a[kSlots][kTileM * kPerLine<T>], b[kSlots][kTileN * kPerLine<T>];
  uint64_t full[kSlots], empty[kSlots];
};

// Where in the ring: the same walk for the producer and for each consumer.
template <int kSlots = kStages>
struct Slot {
  int index = 0, parity = 0;
  __device__ void next() {
    if (++index == kSlots) index = 0, parity ^= 1;
  }
};

template <Along kAlong>
constexpr Major kMajor = kAlong == Along::k ? Major::k : Major::mn;

// An operand of `outers` by k of each group, in boxes of kRows by a line of k: one box of kRows lines, or one for each line of the
// outer index. Operands of other kinds (kernels/conv2d/wgmma_kernels.cuh) bring overloads of operand_map and load_tile.
template <int kRows, class T, Along kAlong>
TensorMap operand_map(const Lines<T, kAlong>& o, int outers, int k, int groups) {
  constexpr bool kAlongK = kAlong == Along::k;
  constexpr int64_t kBytes = sizeof(T);
  return tensor_map(TiledTensor{o.x,
                                dtype_of<T>,
                                3,
                                {kAlongK ? k : outers, kAlongK ? outers : k, groups},
                                {kBytes * o.line, kBytes * o.group},
                                {kPerLine<T>, kAlongK ? kRows : kPerLine<T>, 1},
                                Swizzle::b128});
}
template <int kRows, class T, Along kAlong>
__device__ void load_tile(const Lines<T, kAlong>&, T* tile, int outer, int k, int g, const TensorMap& map, uint64_t* full) {
  constexpr int kLength = kPerLine<T>;
  if constexpr (kAlong == Along::k) {
    tma_load(tile, map, full, k, outer, g);
  } else {
#pragma unroll
    for (int i = 0; i < kRows / kLength; ++i) tma_load(tile + i * kLength * kLength, map, full, outer + kLength * i, k, g);
  }
}

// The descriptor of a tile at its first 32 bytes of k, and how far the next are, in its units of 16 bytes.
template <class T>
__device__ uint64_t operand_descriptor(const T* tile) {
  return matrix_descriptor(tile, Swizzle::b128, kPerLine<T> * kLine, kEight);
}
template <Along kAlong>
constexpr unsigned kNextOperand = (kAlong == Along::k ? 32 : 16 * kLine) / 16;

// s: a Ring, or a struct with its members.
template <class S>
__device__ void init_ring(S& s, int readers) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < int(std::extent_v<decltype(s.full)>); ++i)
      mbarrier_init(&s.full[i], 1), mbarrier_init(&s.empty[i], readers);
    fence_mbarrier_init();
  }
}

// sum = the consumer's 64 rows of a times b over `steps` tiles of k. One product is under way while the next is issued; then the
// slot before is given back: release(slot index), by each warp.
template <Along kAlongA, Along kAlongB, int kSums, class S, int kSlots, class Release>
__device__ void multiply_ring(float (&sum)[kSums], S& s, Slot<kSlots>& slot, int steps, int consumer, Release release) {
  using T = std::remove_all_extents_t<decltype(s.a)>;
  const uint64_t a0 = operand_descriptor(s.a[0] + consumer * 64 * kPerLine<T>), b0 = operand_descriptor(s.b[0]);
  int before = 0;
  for (int step = 0; step < steps; ++step) {
    mbarrier_wait(&s.full[slot.index], slot.parity);
    const uint64_t a = a0 + unsigned(slot.index) * (sizeof(s.a[0]) / 16), b = b0 + unsigned(slot.index) * (sizeof(s.b[0]) / 16);
    wgmma_fence(sum);
#pragma unroll
    for (unsigned i = 0; i < kLine / 32; ++i)
      wgmma<T, kMajor<kAlongA>, kMajor<kAlongB>>(sum, a + i * kNextOperand<kAlongA>, b + i * kNextOperand<kAlongB>,
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

// The parts of k for tiles of 128 x 128, of which a multiprocessor has one; a step of 64 takes some 0.28 us on an H200.
inline Parts parts_of_k(int64_t groups, int64_t m, int64_t n, int64_t k, int depth, SplitK split) {
  constexpr PartCosts kCosts{132, 5, 0.15, 8};
  constexpr int kLeast = 8;  // tiles of k that are worth a block
  const int64_t most = split == SplitK::never ? 1 : std::max<int64_t>(k / (kLeast * depth), 1);
  return choose_parts(groups * ceil_div(m, kTileM) * ceil_div(n, kTileM), ceil_div(k, depth), most, kCosts);
}
// How much of k a block sums.
template <class T>
int part_of_k(int64_t groups, int64_t m, int64_t n, int64_t k, SplitK split) {
  constexpr int kDepth = kPerLine<T>;
  return int(ceil_div(ceil_div(k, parts_of_k(groups, m, n, k, kDepth, split).count), kDepth)) * kDepth;
}

// Half of a tile at least: for less, version 6 has smaller ones. Sums for a batch normalisation are made of whole vectors.
template <class T>
bool fits_wgmma(const MatrixProduct<T>& p) {
  const MatmulParams& s = p.shape;
  const bool sums = !p.statistics || (aligned_16(p.c, p.residual) && s.n % kVector<T> == 0);
  return sums && s.m >= 64 && s.n >= 64 && s.k > 0 && s.batch > 0 && s.batch <= kMaxGroups && device_is_hopper();
}

}  // namespace
}  // namespace graft::GRAFT_GPU
