// Versions 7 and 8 of matmul and linear, on Hopper: wgmma_loop.cuh with two epilogues. Errors as in mma_loop.cuh, where for tf32
// u = 2^-10: wgmma cuts what mma_loop.cuh rounds.
//
//   v7 wgmma        a block a tile of 128 x 128. The sums go through shared memory as floats, which takes any shape, bias,
//                   residual, activation and parts of k; meanwhile the tensor cores of the block stand still
//   v8 persistent   132 blocks that take tile after tile of 128 x 256: the producer loads the next tile while the consumers
//                   finish this one. Pairs of blocks, one above the other, form a cluster: each loads half of the tile of
//                   b and TMA sends it to both, so that L2 delivers a third less. Sums go by stmatrix into swizzled boxes
//                   that TMA stores, edges clipped. Tiles that run together cover eight rows of tiles: b stays in L2
// Emulated only: no GPU has run these kernels yet.
#include "kernels/matmul/wgmma_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTileN7 = 128, kTileN8 = 256;
constexpr int kOutLine = kTileN7 + 8;  // floats; + 8: the rows of half a warp meet all banks
static_assert(2 * kStages * kTileM * kLine >= int(sizeof(float)) * kTileM * kOutLine);

template <class P>
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    product_v7_wgmma(P p, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b) {
#if defined(GRAFT_SM_90A)
  using T = typename P::Element;
  constexpr int kDepth = kPerLine<T>;
  constexpr Along kA = decltype(p.a)::kAlong, kB = decltype(p.b)::kAlong;
  auto& s = aligned_shared<Ring<T, kTileN7>>();
  init_ring(s, kConsumerWarps);
  __syncthreads();
  const Corner corner = corner_of_block<kTileM>(p.m, p.n);
  const int part = int(blockIdx.y), g = int(blockIdx.z), warpgroup = int(threadIdx.x) / 128, lane = int(threadIdx.x) % 32;
  const int begin = part * p.k_part, end = min(p.k, begin + p.k_part), steps = (end - begin + kDepth - 1) / kDepth;
  Slot slot;
  if (warpgroup == 0) {
    registers_decrease<40>();
    if (threadIdx.x != 0) return;
    for (int step = 0; step < steps; ++step, slot.next()) {
      const int k = begin + step * kDepth;
      uint64_t* const full = &s.full[slot.index];
      mbarrier_wait(&s.empty[slot.index], slot.parity ^ 1);
      mbarrier_arrive_expect(full, int(sizeof(s.a[0]) + sizeof(s.b[0])));
      load_operand<kA, kTileM>(s.a[slot.index], corner.m, k, g, [&](T* to, auto... at) { tma_load(to, map_a, full, at...); });
      load_operand<kB, kTileN7>(s.b[slot.index], corner.n, k, g, [&](T* to, auto... at) { tma_load(to, map_b, full, at...); });
    }
    return;
  }
  registers_increase<232>();
  const int consumer = warpgroup - 1, warp = int(threadIdx.x) / 32 % 4;
  float sum[kTileN7 / 2];
  multiply_ring<kA, kB>(sum, s, slot, steps, consumer, [&](int index) {
    if (lane == 0) mbarrier_arrive(&s.empty[index]);
  });
  named_barrier_sync(1, 128 * kConsumers);  // the other consumer still reads the last tiles
  float* const out = reinterpret_cast<float*>(&s) + consumer * 64 * kOutLine;
#pragma unroll
  for (int i = 0; i < kTileN7 / 2; i += 2) {
    const int row = 16 * warp + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2;
    *reinterpret_cast<float2*>(out + row * kOutLine + column) = make_float2(sum[i], sum[i + 1]);
  }
  __syncwarp();  // a warp stores the rows that it has made
  constexpr int kWidth = kVector<T>, kPerRow = kTileN7 / kWidth;
  for (int i = lane; i < 16 * kPerRow; i += 32) {
    const int row = 16 * warp + i / kPerRow, column = i % kPerRow * kWidth;
    const int m = corner.m + 64 * consumer + row, n = corner.n + column;
    if (m >= p.m || n >= p.n) continue;
    float v[kWidth];
    load(v, out + row * kOutLine + column);
    p.store(part, g, m, n, v);
  }
#endif
}

// Two boxes of 64 x 64 for each consumer, in turns.
struct alignas(1024) PersistentShared : Ring<BFloat16, kTileN8> {
  alignas(1024) BFloat16 out[kConsumers][2][64 * 64];
};

// The corner of block `rank` of a pair in work item `item`: groups one after the other, bands of four pairs, down the rows first.
struct Item {
  int g, m, n;
};
__device__ Item item_of(int item, int m, int n, int rank) {
  constexpr int kBand = 4;
  const int rows = (m + 2 * kTileM - 1) / (2 * kTileM), columns = (n + kTileN8 - 1) / kTileN8, in_group = item % (rows * columns);
  const int first = in_group / (kBand * columns) * kBand, height = rows - first < kBand ? rows - first : kBand;
  const int in_band = in_group - first * columns;
  return {item / (rows * columns), (2 * (first + in_band % height) + rank) * kTileM, in_band / height * kTileN8};
}

template <class P>
__global__ void __launch_bounds__(kWgmmaThreads, 1)
    product_v8_persistent(P p, int items, const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
                          const __grid_constant__ TensorMap map_c) {
#if defined(GRAFT_SM_90A)
  constexpr Along kA = decltype(p.a)::kAlong, kB = decltype(p.b)::kAlong;
  constexpr int kHalfN = kTileN8 / 2, kDepth = kPerLine<BFloat16>;
  auto& s = aligned_shared<PersistentShared>();
  const int rank = cluster_rank(), warpgroup = int(threadIdx.x) / 128, lane = int(threadIdx.x) % 32;
  const int steps = (p.k + kDepth - 1) / kDepth, first = int(blockIdx.x) / 2, stride = int(gridDim.x) / 2;
  init_ring<BFloat16, kTileN8>(s, 2 * kConsumerWarps);
  cluster_sync();
  Slot slot;
  if (warpgroup == 0) {
    registers_decrease<40>();
    if (threadIdx.x == 0)
      for (int item = first; item < items; item += stride) {
        const Item at = item_of(item, p.m, p.n, rank);
        for (int step = 0; step < steps; ++step, slot.next()) {
          uint64_t* const full = &s.full[slot.index];
          mbarrier_wait(&s.empty[slot.index], slot.parity ^ 1);  // in both blocks
          mbarrier_arrive_expect(full, int(sizeof(s.a[0]) + sizeof(s.b[0])));
          load_operand<kA, kTileM>(s.a[slot.index], at.m, step * kDepth, at.g,
                                   [&](BFloat16* to, auto... c) { tma_load(to, map_a, full, c...); });
          load_operand<kB, kHalfN>(s.b[slot.index] + rank * kHalfN * kDepth, at.n + rank * kHalfN, step * kDepth, at.g,
                                   [&](BFloat16* to, auto... c) { tma_load_multicast(to, map_b, full, 3, c...); });
        }
      }
  } else {
    registers_increase<232>();
    const int consumer = warpgroup - 1, warp = int(threadIdx.x) / 32 % 4;
    const bool stores = threadIdx.x % 128 == 0;
    for (int item = first; item < items; item += stride) {
      const Item at = item_of(item, p.m, p.n, rank);
      float sum[kTileN8 / 2];
      multiply_ring<kA, kB>(sum, static_cast<Ring<BFloat16, kTileN8>&>(s), slot, steps, consumer, [&](int index) {
        if (lane < 2) mbarrier_arrive_remote(&s.empty[index], lane);
      });
      const auto finish = [&]<bool kGelu>() {
#pragma unroll
        for (int box = 0; box < kTileN8 / 64; ++box) {
          BFloat16* const out = s.out[consumer][box % 2];
          if (stores) tma_store_wait_read<1>();  // the store before the last one, from this box
          named_barrier_sync(1 + consumer, 128);
#pragma unroll
          for (int block = 0; block < 4; ++block) {  // of 16 x 16, four matrices
            uint32_t r[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const int e = 32 * box + 8 * block + 2 * i;
              const int m = at.m + 64 * consumer + 16 * warp + lane / 4 + i % 2 * 8,
                        n = at.n + 64 * box + 16 * block + i / 2 * 8 + lane % 4 * 2;
              float v[2] = {sum[e], sum[e + 1]};
              if (m < p.m && n < p.n) p.template apply<kGelu>(at.g, m, n, v);
              r[i] = pack_bf16(v[0], v[1]);
            }
            const int row = 16 * warp + lane % 16, chunk = 2 * block + lane / 16;
            stmatrix(out + row * 64 + (chunk ^ row % 8) * 8, r);
          }
          fence_async();
          named_barrier_sync(1 + consumer, 128);
          if (stores) {
            tma_store(map_c, out, at.n + 64 * box, at.m + 64 * consumer, at.g);
            tma_store_commit();
          }
        }
      };
      if (p.activation == Activation::gelu) finish.template operator()<true>();
      else finish.template operator()<false>();
    }
    if (stores) tma_store_wait_read<0>();
  }
  __syncwarp();    // the first thread of the producer comes late
  cluster_sync();  // the other block's arrivals and copies come here until its end
#endif
}

// How much of k a block of v7 sums.
template <class T>
int part_of_k(int64_t groups, int64_t m, int64_t n, int64_t k, SplitK split) {
  constexpr int kDepth = kPerLine<T>;
  constexpr int64_t kFill = 132;  // multiprocessors of an H100
  constexpr int kLeast = 8;       // tiles of k that are worth a block
  const int64_t tiles = groups * ceil_div(m, kTileM) * ceil_div(n, kTileN7);
  const int64_t most = split == SplitK::never ? 1 : std::max<int64_t>(k / (kLeast * kDepth), 1);
  return int(ceil_div(ceil_div(k, std::clamp<int64_t>(2 * kFill / tiles, 1, most)), kDepth)) * kDepth;
}

template <class P>
void run_v7(Context& context, P p, SplitK split) {
  using T = typename P::Element;
  p.k_part = part_of_k<T>(p.groups, p.m, p.n, p.k, split);
  const int parts = int(ceil_div(p.k, p.k_part));
  const auto map_a = operand_map<decltype(p.a), kTileM>(p.a, p.m, p.k, p.groups);
  const auto map_b = operand_map<decltype(p.b), kTileN7>(p.b, p.n, p.k, p.groups);
  const dim3 grid(unsigned(ceil_div(p.m, kTileM) * ceil_div(p.n, kTileN7)), unsigned(parts), unsigned(p.groups));
  constexpr size_t kShared = aligned_shared_bytes<Ring<T, kTileN7>>;
  if (parts == 1) return launch(product_v7_wgmma<P>, grid, kWgmmaThreads, kShared, context, p, map_a, map_b);
  const auto partial = device_scratch<float>(context, size_t(parts) * size_t(p.groups) * size_t(p.m) * size_t(p.n));
  p.partial = partial.get();
  launch(product_v7_wgmma<P>, grid, kWgmmaThreads, kShared, context, p, map_a, map_b);
  launch_threads(context, int64_t(p.groups) * p.m * ceil_div(p.n, kVector<T>), sum_parts_v1<P>, p, parts);
}

template <class P>
void run_v8(Context& context, const P& p) {
  constexpr int kBlocks = 132;  // of an H100; fewer multiprocessors take them in turns
  const auto map_a = operand_map<decltype(p.a), kTileM>(p.a, p.m, p.k, p.groups);
  const auto map_b = operand_map<decltype(p.b), kTileN8 / 2>(p.b, p.n, p.k, p.groups);
  const TensorMap map_c = tensor_map(
      TiledTensor{p.c, DType::bf16, 3, {p.n, p.m, p.groups}, {2 * p.row.line, 2 * p.row.group}, {64, 64, 1}, Swizzle::b128});
  const int64_t items = int64_t(p.groups) * ceil_div(p.m, 2 * kTileM) * ceil_div(p.n, kTileN8);
  launch_cluster(product_v8_persistent<P>, dim3(std::min<int64_t>(2 * items, kBlocks)), dim3(2), dim3(kWgmmaThreads),
                 aligned_shared_bytes<PersistentShared>, context, p, index_32(items), map_a, map_b, map_c);
}

// Half of a tile at least: for less, version 6 has smaller ones.
template <class T>
bool accepts(const MatrixProduct<T>& p) {
  const MatmulParams& s = p.shape;
  return aligned_lines(p) && s.m >= 64 && s.n >= 64 && s.k > 0 && s.batch > 0 && s.batch <= kMaxGroups && device_is_hopper();
}

}  // namespace

bool supports_wgmma(const MatrixProduct<BFloat16>& p) { return accepts(p); }
void wgmma_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_operands(p, [&](const auto& product) { run_v7(context, product, p.split); });
}
bool supports_wgmma(const MatrixProduct<float>& p) { return accepts(p) && !p.shape.transpose_a && p.shape.transpose_b; }
void wgmma_product(Context& context, const MatrixProduct<float>& p) {
  with_operands(p, [&]<class P>(const P& product) {
    if constexpr (decltype(product.a)::kAlong == Along::k && decltype(product.b)::kAlong == Along::k)
      run_v7(context, product, p.split);
  });
}

// Whole lines of c for TMA, more than one row of tiles for a pair of blocks, and k in one part.
bool supports_persistent(const MatrixProduct<BFloat16>& p) {
  const MatmulParams& s = p.shape;
  return accepts(p) && is_aligned_16(p.c) && s.n % 8 == 0 && s.m > kTileM &&
         part_of_k<BFloat16>(s.batch, s.m, s.n, s.k, p.split) >= s.k;
}
void persistent_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_operands(p, [&](const auto& product) { run_v8(context, product); });
}

}  // namespace graft::GRAFT_GPU
