// How a product is cut into blocks: by shape alone, so that the same shape gives the same bits on every GPU.
//   tile    128 x 128, or 64 x 64 where the larger ones would leave multiprocessors idle or half of a tile empty
//   parts   of k, where the caller allows (weight gradients: k is the batch, c is small): each block writes its sums as
//           floats, and a second kernel adds the parts in order. The same bits every time, and no atomics.
#pragma once
#include <algorithm>

#include "kernels/matmul/operand.cuh"
#include "kernels/matmul/statistics.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int64_t kMaxGroups = 65535;                                // of gridDim.z
constexpr int64_t kGridGroups = gpu_or_emu<int64_t>(kMaxGroups, 8);  // kernels stride over more

// What a product takes beside its tiles, in the time of one step of k of one tile: a block to begin and end, a tile of a part to be
// written and read again (128 KB; 44 ns of an H100's memory), the second kernel.
struct PartCosts {
  int64_t at_once;  // blocks that run together
  double block, part, launch;
};
struct Parts {
  int64_t count;
  double cost;
};

// The number of parts, at most `most`, that takes the least time for `tiles` tiles of `steps` steps.
inline Parts choose_parts(int64_t tiles, int64_t steps, int64_t most, const PartCosts& c) {
  const auto cost = [&](int64_t parts) {
    const double rounds = double(ceil_div(tiles * parts, c.at_once));
    return rounds * (double(ceil_div(steps, parts)) + c.block) + (parts > 1 ? double(tiles * parts) * c.part + c.launch : 0);
  };
  constexpr int64_t kRounds = 8;  // of the GPU: more parts are no better
  Parts best{1, cost(1)};
  for (int64_t parts = 2; parts <= std::min(most, kRounds * c.at_once / std::max<int64_t>(tiles, 1) + 1); ++parts)
    if (const double now = cost(parts); now < best.cost) best = {parts, now};
  return best;
}

struct Cut {
  int tile, parts, k_part;
};

template <class P>
Cut cut_of(const P& p, int depth, SplitK split, int largest = 128) {
  constexpr int64_t kFill = 132;  // multiprocessors of an H100
  constexpr int kLeast = 8;       // tiles of k that are worth a block
  constexpr PartCosts kCosts{2 * kFill, 2, 0.03, 2};
  const auto tiles = [&](int64_t t) { return p.groups * ceil_div(p.m, t) * ceil_div(p.n, t); };
  const int64_t most = split == SplitK::never ? 1 : std::max<int64_t>(p.k / (kLeast * depth), 1);
  const int tile = std::min(p.m, p.n) > 64 && tiles(128) * most >= kFill ? largest : 64;
  const int64_t parts = choose_parts(tiles(tile), ceil_div(p.k, depth), most, kCosts).count;
  const int k_part = int(ceil_div(ceil_div(p.k, parts), depth)) * depth;
  return {tile, std::max(int(ceil_div(p.k, std::max(k_part, 1))), 1), k_part};
}

// A vector of c a thread along x; the threads along y share its parts, four of which are under way in a thread.
template <class P>
__global__ void __launch_bounds__(kThreads) sum_parts_v1(P p, int parts) {
  constexpr int kWidth = kVector<typename P::Element>, kAtOnce = 4;
  struct Smem {
    float sum[kThreads][kWidth];
  };
  auto& s = shared<Smem>();
  const int64_t rows = int64_t(p.groups) * p.m;
  const unsigned columns = unsigned(ceil_div(p.n, kWidth)), thread = unsigned(global_thread()), row = thread / columns;
  const int j = int(thread % columns) * kWidth, lanes = int(blockDim.y);
  const bool inside = row < rows;
  float sum[kWidth] = {};
  if (inside)
    for (int part = int(threadIdx.y); part < parts; part += kAtOnce * lanes) {
      float v[kAtOnce][kWidth] = {};
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
        if (part + u * lanes < parts) p.read(v[u], p.partial + ((part + u * lanes) * rows + row) * p.n + j, p.n - j);
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
#pragma unroll
        for (int e = 0; e < kWidth; ++e) sum[e] += v[u][e];
    }
  if (lanes > 1) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) s.sum[threadIdx.y * blockDim.x + threadIdx.x][e] = sum[e];
    __syncthreads();
    if (threadIdx.y != 0) return;
    for (int lane = 1; lane < lanes; ++lane)
#pragma unroll
      for (int e = 0; e < kWidth; ++e) sum[e] += s.sum[lane * int(blockDim.x) + int(threadIdx.x)][e];
  }
  if (inside) p.finish(int(row / unsigned(p.m)), int(row % unsigned(p.m)), j, sum);
}
template <class P>
void sum_parts(Context& context, const P& p, int parts) {
  constexpr int64_t kFill = 132 * 1024;  // threads that fill an H100
  const int64_t vectors = int64_t(p.groups) * p.m * ceil_div(p.n, kVector<typename P::Element>);
  const int lanes = vectors >= kFill || parts <= 4 ? 1 : parts < 64 ? 8 : 32, across = kThreads / lanes;
  launch(sum_parts_v1<P>, dim3(unsigned(ceil_div(vectors, across))), dim3(unsigned(across), unsigned(lanes)), 0, context, p, parts);
}

// run(p) of a product in one part, whose tiles have `tile` rows.
template <class P, class Run>
void with_statistics(Context& context, P p, int tile, Run run) {
  with_statistics(context, p.statistics, ceil_div(p.m, tile), int64_t(p.groups) * p.n, p.m, [&](float* tile_sums) {
    p.tile_sums = tile_sums;
    run(p);
  });
}

// A tile along x, a part of k along y, a group along z.
template <class P>
void launch_product(Context& context, void (*kernel)(P), int threads, size_t shared_bytes, P p, const Cut& cut) {
  if (p.groups == 0 || p.m == 0 || p.n == 0) return;
  const dim3 grid(unsigned(ceil_div(p.m, cut.tile) * ceil_div(p.n, cut.tile)), unsigned(cut.parts),
                  unsigned(std::min<int64_t>(p.groups, kGridGroups)));
  p.k_part = cut.k_part;
  if (cut.parts == 1)
    return with_statistics(context, p, cut.tile,
                           [&](const P& q) { launch(kernel, grid, dim3(unsigned(threads)), shared_bytes, context, q); });
  const auto partial = device_scratch<float>(context, size_t(cut.parts) * size_t(p.groups) * size_t(p.m) * size_t(p.n));
  p.partial = partial.get();
  launch(kernel, grid, dim3(unsigned(threads)), shared_bytes, context, p);
  sum_parts(context, p, cut.parts);
}

// A matrix product in the terms of operand.cuh: f(Product) with the types that its transposes ask for.
template <class T, class F>
void with_operands(const MatrixProduct<T>& p, F f) {
  const MatmulParams& s = p.shape;
  const auto product = [&]<Along kA, Along kB>() {
    using A = Lines<T, kA>;
    using B = Lines<T, kB>;
    f(Product<A, B, T>{.groups = index_32(s.batch),
                       .m = index_32(s.m),
                       .n = index_32(s.n),
                       .k = index_32(s.k),
                       .a = {p.a, p.a_lines() * p.a_line(), p.a_line()},
                       .b = {p.b, p.b_lines() * p.b_line(), p.b_line()},
                       .c = p.c,
                       .row = {s.m * s.n, s.n},
                       .bias = p.bias,
                       .residual = s.write == Write::accumulate ? p.c : p.residual,
                       .activation = p.activation,
                       .vectors = aligned_16(p.c, p.residual) && s.n % kVector<T> == 0,
                       .statistics = p.statistics});
  };
  if (s.transpose_a)
    s.transpose_b ? product.template operator()<Along::outer, Along::k>()
                  : product.template operator()<Along::outer, Along::outer>();
  else s.transpose_b ? product.template operator()<Along::k, Along::k>() : product.template operator()<Along::k, Along::outer>();
}

}  // namespace
}  // namespace graft::GRAFT_GPU
