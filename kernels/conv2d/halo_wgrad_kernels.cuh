// Version 9 of conv2d, wgrad of 3 x 3 filters with stride 1 in bf16, on Hopper: images are loaded once for all taps (halo.cuh).
//
//   product    dweight[filter, (tap, channel)] = sum over positions of dy[position, filter] image[position + tap, channel]: both
//   have
//              their positions along k, which wgmma transposes. Positions that are no pixels have dy = 0, which TMA fills in
//   consumers  three, a row of taps each. The taps of a row begin one line (dilation lines) after each other: ONE operand of 192
//              columns, 64 channels of each tap, whose blocks of 64 overlap in shared memory
//   blocks     64 filters by 64 channels by all taps, and a part of the images, as many as fill the GPU; the parts are added in
//              order (split.cuh). 132 of them are 19 MB, written and read in L2
//
// Where an image holds NaN or infinity, all nine taps of its channel may become NaN, those too that padding keeps from meeting it.
#include "kernels/conv2d/halo.cuh"
#include "kernels/conv2d/halo.h"
#include "kernels/conv2d/products.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTaps = 3;  // of a row, and of a column
constexpr int kWgradThreads = 128 * (1 + kTaps), kSlots = 3;
constexpr int kMostPositions = 240, kPositionsAtOnce = 16;  // k of wgmma

struct alignas(1024) HaloWgradShared {
  BFloat16 dy[kSlots][kMostPositions * kUnit], image[kSlots][kHaloLines * kUnit];
  uint64_t full[kSlots], empty[kSlots];
};

struct HaloWgrad {
  Image s;
  HaloTile tile;
  int tiles, filters;
  int dy_bytes, image_bytes;
  float* partial;  // [parts, filters, taps, channels]
  TensorMap dy_map, image_map;
};

// What operands reach behind their boxes is zero, and stays so: NaN times 0 is NaN.
__device__ inline void clear_lines(BFloat16* tile, int first, int end) {
  const float zeros[8] = {};
  for (int i = first * 8 + int(threadIdx.x); i < end * 8; i += kWgradThreads) store<8>(tile + 8 * i, zeros);
}

// A block of filters and channels along x, a part of the tiles along y.
__global__ void __launch_bounds__(kWgradThreads, 1) conv2d_wgrad_v9_halo(const __grid_constant__ HaloWgrad p) {
#if defined(GRAFT_SM_90A)
  auto& s = aligned_shared<HaloWgradShared>();
  const int blocks = (p.filters + kUnit - 1) / kUnit, warpgroup = warpgroup_index();
  const int m0 = int(blockIdx.x) % blocks * kUnit, c0 = int(blockIdx.x) / blocks * kUnit;
  const int first = int(blockIdx.y), stride = int(gridDim.y);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kSlots; ++i) mbarrier_init(&s.full[i], 1), mbarrier_init(&s.empty[i], 4 * kTaps);
    fence_mbarrier_init();
  }
  for (int i = 0; i < kSlots; ++i) {
    clear_lines(s.dy[i], p.tile.rows * p.tile.pitch, p.tile.positions);
    clear_lines(s.image[i], p.tile.halo_rows(p.s) * p.tile.pitch, kHaloLines);
  }
  fence_async();
  __syncthreads();
  Slot<kSlots> slot;
  if (warpgroup == 0) {
    registers_decrease<40>();
    if (threadIdx.x != 0) return;
    for (int tile = first; tile < p.tiles; tile += stride, slot.next()) {
      const HaloPlace at = place_of(p.tile, tile);
      uint64_t* const full = &s.full[slot.index];
      mbarrier_wait(&s.empty[slot.index], slot.parity ^ 1);
      mbarrier_arrive_expect(full, p.dy_bytes + p.image_bytes);
      tma_load(s.dy[slot.index], p.dy_map, full, m0, 0, at.h, at.n);
      tma_load(s.image[slot.index], p.image_map, full, c0, p.s.column, at.h + p.s.row, at.n);
    }
    return;
  }
  registers_increase<152>();
  const int row = warpgroup - 1, lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32 % 4;
  const uint64_t a0 = operand_descriptor(s.dy[0]), b0 = matrix_descriptor(s.image[0], Swizzle::b128, p.s.dilation * kLine, kEight) +
                                                        lines(row * p.s.dilation * p.tile.pitch);
  float sum[kTaps * kUnit / 2];
  int before = 0;
  for (int tile = first; tile < p.tiles; tile += stride) {
    mbarrier_wait(&s.full[slot.index], slot.parity);
    const uint64_t a = a0 + unsigned(slot.index) * (sizeof(s.dy[0]) / 16),
                   b = b0 + unsigned(slot.index) * (sizeof(s.image[0]) / 16);
    for (int k = 0; k < p.tile.positions; k += kPositionsAtOnce) {
      wgmma_fence(sum);
      wgmma<BFloat16, Major::mn, Major::mn>(sum, a + lines(k), b + lines(k), tile != first || k > 0);
      wgmma_commit();
      wgmma_wait<1>(sum);
      if (k == 0 && tile != first && lane == 0) mbarrier_arrive(&s.empty[before]);
    }
    before = slot.index;
    slot.next();
  }
  wgmma_wait<0>(sum);
  float* const partial = p.partial + int64_t(blockIdx.y) * p.filters * (kTaps * kTaps) * p.s.c;
#pragma unroll
  for (int i = 0; i < kTaps * kUnit / 2; i += 2) {
    const int m = m0 + 16 * warp + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2, c = c0 + column % kUnit;
    if (m < p.filters && c < p.s.c)
      *reinterpret_cast<float2*>(partial + (m * kTaps * kTaps + row * kTaps + column / kUnit) * int64_t{p.s.c} + c) =
          make_float2(sum[i], sum[i + 1]);
  }
#endif
}

int64_t weight_blocks(const Conv2dParams& p) { return ceil_div(p.c_out, kUnit) * ceil_div(p.c_in, kUnit); }
int64_t parts_of(const Conv2dParams& p, int64_t tiles) {
  constexpr int64_t kBlocks = 132;  // multiprocessors of an H100
  return std::clamp<int64_t>(kBlocks / weight_blocks(p), 1, tiles);
}

// Whole rows, as many as take the least time: steps of wgmma, and two or so before the next tile; rows 0 if none fits.
HaloTile wgrad_tile(const Conv2dParams& p) {
  const Image s = image_of(p, Pass::wgrad);
  HaloTile best;
  int64_t least = 0;
  for (int rows = 1; rows <= s.result_h; ++rows) {
    const int64_t positions = ceil_div(int64_t{rows} * (s.result_w + s.reach_w()), kPositionsAtOnce) * kPositionsAtOnce;
    if (positions > kMostPositions) break;
    const HaloTile tile(s, rows, s.result_w, int(positions));
    if (!tile.fits(s)) break;
    const int64_t tiles = tile.tiles(s), time = ceil_div(tiles, parts_of(p, tiles)) * (positions + 2 * kPositionsAtOnce);
    if (best.rows == 0 || time < least) best = tile, least = time;
  }
  return best;
}

}  // namespace

bool supports_halo_wgrad(const Conv2dParams& p) {
  return p.stride == 1 && p.groups == 1 && p.kh == kTaps && p.kw == kTaps && p.c_in % 8 == 0 && p.c_out % 8 == 0 && p.n > 0 &&
         wgrad_tile(p).rows > 0 && weight_blocks(p) <= kMaxGroups && device_is_hopper();
}
// Version 7 has tiles of 128 filters, half of them empty then: 70 us for 64 x 56 x 56 x 64 on an H200, here 48. Otherwise it is
// faster.
bool pays_halo_wgrad(const Conv2dParams& p) { return p.c_out <= kUnit; }
void halo_wgrad(Context& context, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams& p) {
  const Image s = image_of(p, Pass::wgrad);
  const HaloTile tile = wgrad_tile(p);
  const int64_t tiles = tile.tiles(s), parts = parts_of(p, tiles);
  auto product = wgrad_product(dweight, dy, x, p);
  const auto partial = device_scratch<float>(context, size_t(parts) * size_t(product.m) * size_t(product.n));
  product.partial = partial.get();
  launch(conv2d_wgrad_v9_halo, dim3(unsigned(weight_blocks(p)), unsigned(parts)), kWgradThreads,
         aligned_shared_bytes<HaloWgradShared>, context,
         HaloWgrad{.s = s,
                   .tile = tile,
                   .tiles = index_32(tiles),
                   .filters = int(p.c_out),
                   .dy_bytes = tile.rows * tile.pitch * kLine,
                   .image_bytes = halo_bytes(s, tile),
                   .partial = partial.get(),
                   .dy_map = pixels_map(dy, s.n, s.result_h, s.result_w, int(p.c_out), tile.rows, tile.pitch),
                   .image_map = halo_map(x, s, tile)});
  sum_parts(context, product, int(parts));
}

}  // namespace graft::GRAFT_GPU
