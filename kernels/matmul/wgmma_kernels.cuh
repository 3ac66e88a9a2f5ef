// Version 7 of matmul and linear, on Hopper: wgmma_loop.cuh, a block a tile of 128 x 128. The sums go through shared memory as
// floats, which takes any shape, bias, residual, activation and parts of k; meanwhile the tensor cores of the block stand still.
// Errors as in mma_loop.cuh, where for tf32 u = 2^-10: wgmma cuts what mma_loop.cuh rounds.
#include "kernels/matmul/aligned.cuh"
#include "kernels/matmul/wgmma_loop.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTileN7 = 128;
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
  Slot<> slot;
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
  const auto store = [&]<int kWidth>() {
    constexpr int kPerRow = kTileN7 / kWidth;
    for (int i = lane; i < 16 * kPerRow; i += 32) {
      const int row = 16 * warp + i / kPerRow, column = i % kPerRow * kWidth;
      const int m = corner.m + 64 * consumer + row, n = corner.n + column;
      if (m >= p.m || n >= p.n) continue;
      float v[kWidth];
#pragma unroll
      for (int e = 0; e < kWidth; ++e) v[e] = out[row * kOutLine + column + e];
      p.store(part, g, m, n, v);
    }
  };
  if (p.vectors) store.template operator()<kVector<T>>();
  else store.template operator()<1>();  // neighbours by neighbouring threads
#endif
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
  sum_parts(context, p, parts);
}

}  // namespace

bool supports_wgmma(const MatrixProduct<BFloat16>& p) { return fits_wgmma(p); }
void wgmma_product(Context& context, const MatrixProduct<BFloat16>& p) {
  with_aligned_lines(context, p, [&](const auto& aligned) {
    with_operands(aligned, [&](const auto& product) { run_v7(context, product, p.split); });
  });
}
bool supports_wgmma(const MatrixProduct<float>& p) { return fits_wgmma(p) && !p.shape.transpose_a && p.shape.transpose_b; }
void wgmma_product(Context& context, const MatrixProduct<float>& p) {
  with_aligned_lines(context, p, [&](const auto& aligned) {
    with_operands(aligned, [&]<class P>(const P& product) {
      if constexpr (decltype(product.a)::kAlong == Along::k && decltype(product.b)::kAlong == Along::k)
        run_v7(context, product, p.split);
    });
  });
}

}  // namespace graft::GRAFT_GPU
