// Version 7 of matmul, linear and conv2d, on Hopper: wgmma_loop.cuh, a block a tile of 128 x 128. The sums go through shared memory
// as floats, which takes any shape, bias, residual, activation, statistics and parts of k; meanwhile the tensor cores of the block
// stand still.
#pragma once
#include "kernels/matmul/wgmma_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTileN7 = 128;
constexpr int kOutLine = kTileN7 + 8;  // floats; + 8: the rows of half a warp meet all banks

// What takes the place of the ring: the sums of each consumer, and of their columns by threads that store the same ones.
template <class T>
struct OutSmem {
  static constexpr int kPerRow = kTileN7 / kVector<T>, kRowsAtOnce = 32 / kPerRow;  // of a warp
  float out[kConsumers][64 * kOutLine];
  ColumnSumsSmem<kTileN7, kConsumerWarps * kRowsAtOnce> columns;
};

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
  const int part = int(blockIdx.y), g = int(blockIdx.z), warpgroup = warpgroup_index(), lane = int(threadIdx.x) % 32;
  const int begin = part * p.k_part, end = min(p.k, begin + p.k_part), steps = (end - begin + kDepth - 1) / kDepth;
  Slot<> slot;
  if (warpgroup == 0) {
    registers_decrease<40>();
    if (threadIdx.x != 0) return;
    for (int step = 0; step < steps; ++step, slot.next()) {
      const int k = begin + step * kDepth;
      uint64_t* const full = &s.full[slot.index];
      mbarrier_wait(&s.empty[slot.index], slot.parity ^ 1);
      mbarrier_arrive_expect(full, int(sizeof(s.a[0]) + sizeof(s.b[0])));
      load_tile<kTileM>(p.a, s.a[slot.index], corner.m, k, g, map_a, full);
      load_tile<kTileN7>(p.b, s.b[slot.index], corner.n, k, g, map_b, full);
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
  using Out = OutSmem<T>;
  static_assert(sizeof(Out) <= sizeof(s.a) + sizeof(s.b));
  auto& o = reinterpret_cast<Out&>(s);
  float* const out = o.out[consumer];
#pragma unroll
  for (int i = 0; i < kTileN7 / 2; i += 2) {
    const int row = 16 * warp + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2;
    *reinterpret_cast<float2*>(out + row * kOutLine + column) = make_float2(sum[i], sum[i + 1]);
  }
  __syncwarp();  // a warp stores the rows that it has made
  const auto store = [&]<int kWidth>() {
    constexpr int kPerRow = kTileN7 / kWidth;
    ColumnSums<T, kWidth> columns;
    for (int i = lane; i < 16 * kPerRow; i += 32) {
      const int row = 16 * warp + i / kPerRow, column = i % kPerRow * kWidth;
      const int m = corner.m + 64 * consumer + row, n = corner.n + column;
      if (m >= p.m || n >= p.n) continue;
      float v[kWidth];
#pragma unroll
      for (int e = 0; e < kWidth; ++e) v[e] = out[row * kOutLine + column + e];
      p.store(part, g, m, n, v);
      if (kWidth > 1 && p.statistics) columns.add(v);
    }
    return columns;
  };
  if (!p.vectors) {
    store.template operator()<1>();  // neighbours by neighbouring threads
    return;
  }
  const auto columns = store.template operator()<kVector<T>>();
  if (!p.statistics) return;
  o.columns.keep((4 * consumer + warp) * Out::kRowsAtOnce + lane / Out::kPerRow, lane % Out::kPerRow * kVector<T>, columns);
  named_barrier_sync(1, 128 * kConsumers);
  o.columns.store(p, g, corner.m, corner.n, int(threadIdx.x) - 128, 128 * kConsumers);
#endif
}

template <class P>
void run_v7(Context& context, P p, SplitK split) {
  using T = typename P::Element;
  p.k_part = part_of_k<T>(p.groups, p.m, p.n, p.k, split);
  const int parts = int(ceil_div(p.k, p.k_part));
  const auto map_a = operand_map<kTileM>(p.a, p.m, p.k, p.groups);
  const auto map_b = operand_map<kTileN7>(p.b, p.n, p.k, p.groups);
  const dim3 grid(unsigned(ceil_div(p.m, kTileM) * ceil_div(p.n, kTileN7)), unsigned(parts), unsigned(p.groups));
  constexpr size_t kShared = aligned_shared_bytes<Ring<T, kTileN7>>;
  if (parts == 1)
    return with_statistics(context, p, kTileM, [&](const P& q) {
      launch(product_v7_wgmma<P>, grid, kWgmmaThreads, kShared, context, q, map_a, map_b);
    });
  const auto partial = device_scratch<float>(context, size_t(parts) * size_t(p.groups) * size_t(p.m) * size_t(p.n));
  p.partial = partial.get();
  launch(product_v7_wgmma<P>, grid, kWgmmaThreads, kShared, context, p, map_a, map_b);
  sum_parts(context, p, parts);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
