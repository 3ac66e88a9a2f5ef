// Version 9 of conv2d, forward and dgrad with stride 1 in bf16, on Hopper: a tile of the image is loaded once for all taps
// (halo.cuh). Version 7 loads it once a tap, nine times for 3 x 3: from L2, which delivers some 5.5 TB/s on an H100, 231 MB of a
// layer with 64 x 56 x 56 x 64 take 42 us, and its products 15.
//
//   product    result[filter, position] = sum over chunks of 64 channels and taps of filters[filter, channel] image[position,
//   channel]:
//              filters are the rows of wgmma, so that a tile may have any multiple of 16 positions, and one instruction
//              takes 240. Sums come out with pixels along the columns; stmatrix transposes them back
//   consumers  two. Where 64 filters are all, each takes tiles of its own, one multiplies while the other stores, and all taps of
//              the filters stay in shared memory (Split::pixels). Otherwise both take the same tile and 64 filters each, which
//              come in a ring, each half loaded by one block of a pair for both (Split::filters)
//   result     a tile in shared memory without the positions that are no pixels; TMA stores it, edges clipped
//   dgrad      the same of dy, taps backwards, filters along m. Forward they lie along k: wgmma takes both
#include "kernels/conv2d/halo.cuh"
#include "kernels/conv2d/halo.h"
#include "kernels/matmul/statistics.cuh"

namespace graft::GRAFT_GPU {
namespace {

enum class Split { pixels, filters };

constexpr int kResidentTaps = 9;

template <Split kSplit, int kPositions>
struct alignas(1024) HaloShared {
  static constexpr int kBlocks = kSplit == Split::filters ? 2 : 1;  // of 64 filters
  static constexpr int kSlots = kSplit == Split::filters ? kStages : kResidentTaps;
  BFloat16 filters[kSlots][kBlocks][64 * kUnit], image[2][kHaloLines * kUnit];
  alignas(1024) BFloat16 result[2][kPositions * kUnit];
  uint64_t filters_full[kSlots], filters_empty[kSlots], image_full[2], image_empty[2], residual[2];
};

struct HaloProduct {
  Image s;
  HaloTile tile;
  int tiles, filters;  // of the result
  int chunks;          // of 64 channels of the image
  int image_bytes;
  bool backwards;  // dgrad: the last tap first
  const BFloat16* bias;
  int residual_bytes;  // of a tile; 0: there is none
  float floor;         // relu: 0
  float* tile_sums;    // [tiles][2][filters], or null
  TensorMap image_map, filters_map, result_map, residual_map;
};

// Filters [m0, m0 + 64) of a tap and a chunk: 64 filters by 64 channels, or (dgrad) the other way round.
template <Major kMajor, class Load>
__device__ void load_filters(const HaloProduct& p, BFloat16* to, int m0, int chunk, int tap, Load load) {
  const int taps = p.s.taps_h * p.s.taps_w, at = p.backwards ? taps - 1 - tap : tap;
  if (kMajor == Major::k) load(to, chunk * kUnit, at, m0);
  else load(to, m0, at, chunk * kUnit);
}

// Where a lane of stmatrix finds 8 filters of one position, of 16 filters by 16 positions: pixels one after the other, then the
// positions that are none.
__device__ inline int place_in_result(const HaloTile& t, int block, int warp, int lane) {
  const int position = 16 * block + lane / 16 * 8 + lane % 8, row = t.of_pitch.quotient(position),
            column = position - row * t.pitch;
  const bool pixel = row < t.rows && column < t.columns;
  const int line = pixel ? row * t.columns + column : (t.rows - min(row + 1, t.rows)) * t.columns + position;
  return line * kUnit + ((2 * warp + lane / 8 % 2) ^ line % 8) * 8;
}

// Sums over the pixels of a tile of what is stored, and of its squares, for a batch normalisation.
template <int kPositions>
__device__ void sum_positions(const HaloProduct& p, const uint32_t (&stored)[kPositions / 4], const HaloPlace& at, int m,
                              int lane) {
  const HaloTile& tile = p.tile;
  float total[2] = {}, square[2] = {};
#pragma unroll
  for (int i = 0; i < kPositions / 4; ++i) {
    const int position = i / 2 * 8 + 2 * (lane % 4) + i % 2, row = tile.of_pitch.quotient(position),
              column = position - row * tile.pitch;
    const bool pixel = row < tile.rows && at.h + row < p.s.result_h && column < tile.columns && at.w + column < p.s.result_w;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32_t two = stored[i / 2 * 2 + half];
      const float value = pixel ? __int_as_float(int(i % 2 ? two & 0xffff0000u : two << 16)) : 0.0f;
      total[half] += value, square[half] = fmaf(value, value, square[half]);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    for (int d = 1; d < 4; d *= 2) {
      total[half] += __shfl_xor_sync(kFullWarp, total[half], d);
      square[half] += __shfl_xor_sync(kFullWarp, square[half], d);
    }
    const int filter = m + lane / 4 + 8 * half;
    if (lane % 4 == 0 && filter < p.filters && at.tile < p.tiles) {
      float* const sums = p.tile_sums + int64_t{2} * at.tile * p.filters + filter;
      sums[0] = total[half], sums[p.filters] = square[half];
    }
  }
}

// From a consumer's 128 threads to memory: bias, residual, relu, rounding.
template <int kPositions>
__device__ void store_positions(const HaloProduct& p, BFloat16* result, float (&sum)[kPositions / 2], const HaloPlace& at, int m0,
                                int consumer) {
  const int thread = int(threadIdx.x) % 128, lane = thread % 32, warp = thread / 32, m = m0 + 16 * warp;
  float bias[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int filter = m + lane / 4 + 8 * half;
    bias[half] = p.bias && filter < p.filters ? to_float(p.bias[filter]) : 0.0f;
  }
#pragma unroll
  for (int block = 0; block < kPositions / 16; ++block) {
    uint32_t more[4] = {};
    if (p.residual_bytes) ldmatrix_trans(more, result + place_in_result(p.tile, block, warp, lane));
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t two = more[i / 2];
      float& v = sum[8 * block + i];
      v = max_nan(v + bias[i / 2 % 2] + __int_as_float(int(i % 2 ? two & 0xffff0000u : two << 16)), p.floor);
    }
  }
  uint32_t stored[kPositions / 4];
#pragma unroll
  for (int i = 0; i < kPositions / 4; ++i) stored[i] = pack_bf16(sum[2 * i], sum[2 * i + 1]);
  if (p.tile_sums) sum_positions<kPositions>(p, stored, at, m, lane);
  if (!p.residual_bytes) {
    if (thread == 0) tma_store_wait_read<0>();  // the tile before
    named_barrier_sync(1 + consumer, 128);
  }
#pragma unroll
  for (int block = 0; block < kPositions / 16; ++block) {
    const uint32_t* const s = stored + 4 * block;
    stmatrix_trans(result + place_in_result(p.tile, block, warp, lane), {s[0], s[1], s[2], s[3]});
  }
  fence_async();
  named_barrier_sync(1 + consumer, 128);
  if (thread == 0) {
    tma_store(p.result_map, result, m0, at.w, at.h, at.n);
    tma_store_commit();
  }
}

template <Split kSplit, int kPositions, Major kFilters>
__global__ void __launch_bounds__(kWgmmaThreads, 1) conv2d_v9_halo(const __grid_constant__ HaloProduct p) {
#if defined(GRAFT_SM_90A)
  using Shared = HaloShared<kSplit, kPositions>;
  constexpr bool kShare = kSplit == Split::filters;  // a tile and the ring of filters
  constexpr int kSlots = Shared::kSlots, kPair = kShare ? 2 : 1;
  auto& s = aligned_shared<Shared>();
  const int rank = kShare ? cluster_rank() : 0, warpgroup = warpgroup_index();
  const int taps = p.s.taps_h * p.s.taps_w, blocks = (p.filters + 64 * Shared::kBlocks - 1) / (64 * Shared::kBlocks);
  const int items = (p.tiles + kPair - 1) / kPair * blocks, first = int(blockIdx.x) / kPair, stride = int(gridDim.x) / kPair;
  const auto filter_of = [&](int item) { return item % blocks * 64 * Shared::kBlocks; };
  const auto at = [&](int item) { return place_of(p.tile, item / blocks * kPair + rank); };
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      mbarrier_init(&s.image_full[i], 1), mbarrier_init(&s.image_empty[i], kShare ? kConsumerWarps : 4);
      mbarrier_init(&s.residual[i], 1);
    }
    for (int i = 0; i < kSlots; ++i) mbarrier_init(&s.filters_full[i], 1), mbarrier_init(&s.filters_empty[i], 2 * kConsumerWarps);
    fence_mbarrier_init();
  }
  if constexpr (kShare) cluster_sync();
  else __syncthreads();
  if (warpgroup == 0) {
    registers_decrease<40>();
    if (threadIdx.x == 0) {  // images: two slots in turn, which in Split::pixels are a consumer's own
      Slot<2> slot;
      for (int item = first; item < items; item += stride)
        for (int chunk = 0; chunk < p.chunks; ++chunk, slot.next()) {
          const HaloPlace place = at(item);
          uint64_t* const full = &s.image_full[slot.index];
          mbarrier_wait(&s.image_empty[slot.index], slot.parity ^ 1);
          mbarrier_arrive_expect(full, p.image_bytes);
          tma_load(s.image[slot.index], p.image_map, full, chunk * kUnit, place.w + p.s.column, place.h + p.s.row, place.n);
        }
    }
    if (threadIdx.x == 32) {  // filters
      if constexpr (kShare) {
        Slot<kSlots> slot;
        for (int item = first; item < items; item += stride)
          for (int chunk = 0; chunk < p.chunks; ++chunk)
            for (int tap = 0; tap < taps; ++tap, slot.next()) {
              uint64_t* const full = &s.filters_full[slot.index];
              mbarrier_wait(&s.filters_empty[slot.index], slot.parity ^ 1);  // in both blocks
              mbarrier_arrive_expect(full, int(sizeof(s.filters[0])));
              load_filters<kFilters>(p, s.filters[slot.index][rank], filter_of(item) + 64 * rank, chunk, tap,
                                     [&](BFloat16* to, auto... c) { tma_load_multicast(to, p.filters_map, full, 3, c...); });
            }
      } else {
        mbarrier_arrive_expect(&s.filters_full[0], taps * int(sizeof(s.filters[0])));
        for (int tap = 0; tap < taps; ++tap)
          load_filters<kFilters>(p, s.filters[tap][0], 0, 0, tap,
                                 [&](BFloat16* to, auto... c) { tma_load(to, p.filters_map, &s.filters_full[0], c...); });
      }
    }
  } else {
    registers_increase<232>();
    const int lane = int(threadIdx.x) % 32, consumer = warpgroup - 1, block = kShare ? consumer : 0;
    constexpr unsigned kNextA = kFilters == Major::k ? 32 / 16 : 16 * kLine / 16;
    const uint64_t a0 = operand_descriptor(s.filters[0][block]), b0 = operand_descriptor(s.image[0]);
    Slot<2> image{kShare ? 0 : consumer, 0};
    Slot<kSlots> filters;
    int residual_parity = 0;
    if constexpr (!kShare) mbarrier_wait(&s.filters_full[0], 0);
    for (int item = first + (kShare ? 0 : consumer * stride); item < items; item += kShare ? stride : 2 * stride) {
      const int m0 = filter_of(item) + 64 * block;
      if (p.residual_bytes && threadIdx.x % 128 == 0) {  // into the place of the result, while it is multiplied
        const HaloPlace place = at(item);
        tma_store_wait_read<0>();
        mbarrier_arrive_expect(&s.residual[consumer], p.residual_bytes);
        tma_load(s.result[consumer], p.residual_map, &s.residual[consumer], m0, place.w, place.h, place.n);
      }
      __syncwarp();
      float sum[kPositions / 2];
      int last_filters = 0, last_image = -1;
      for (int chunk = 0; chunk < p.chunks; ++chunk) {
        mbarrier_wait(&s.image_full[image.index], image.parity);
        const uint64_t b = b0 + unsigned(image.index) * (sizeof(s.image[0]) / 16);
        int step = 0;
        for (int row = 0; row < p.s.taps_h; ++row)
          for (int column = 0; column < p.s.taps_w; ++column, ++step) {
            if constexpr (kShare) mbarrier_wait(&s.filters_full[filters.index], filters.parity);
            const uint64_t a = a0 + unsigned(kShare ? filters.index : step) * (sizeof(s.filters[0]) / 16),
                           tap = b + lines((row * p.tile.pitch + column) * p.s.dilation);
            wgmma_fence(sum);
#pragma unroll
            for (unsigned i = 0; i < kLine / 32; ++i)
              wgmma<BFloat16, kFilters, Major::k>(sum, a + i * kNextA, tap + i * kNextOperand<Along::k>,
                                                  chunk > 0 || step > 0 || i > 0);
            wgmma_commit();
            wgmma_wait<1>(sum);
            if (kShare && (chunk > 0 || step > 0) && lane < 2) mbarrier_arrive_remote(&s.filters_empty[last_filters], lane);
            if (last_image >= 0 && lane == 0) mbarrier_arrive(&s.image_empty[last_image]);
            last_image = -1, last_filters = filters.index;
            if constexpr (kShare) filters.next();
          }
        last_image = image.index;
        if constexpr (kShare) image.next();
        else image.parity ^= 1;
      }
      wgmma_wait<0>(sum);
      if (kShare && lane < 2) mbarrier_arrive_remote(&s.filters_empty[last_filters], lane);
      if (lane == 0) mbarrier_arrive(&s.image_empty[last_image]);
      if (p.residual_bytes) {
        mbarrier_wait(&s.residual[consumer], residual_parity);
        residual_parity ^= 1;
      }
      store_positions<kPositions>(p, s.result[consumer], sum, at(item), m0, consumer);
    }
    if (threadIdx.x % 128 == 0) tma_store_wait_read<0>();
  }
  __syncwarp();                          // the producers come late
  if constexpr (kShare) cluster_sync();  // the other block's arrivals and copies come here until its end
#endif
}

constexpr int64_t kMultiprocessors = 132;  // multiprocessors of an H100

// What the tile takes, in positions that a multiprocessor computes one after another.
inline int64_t time_of(const HaloTile& t, const Image& s, int64_t filter_blocks) {
  return ceil_div(t.tiles(s) * filter_blocks, kMultiprocessors) * t.positions;
}
// The tile that takes the least; rows 0 if none fits.
inline HaloTile choose_tile(const Image& s, int64_t filter_blocks) {
  HaloTile best;
  int64_t least = 0;
  for (int positions : {208, 224, 240})
    for (int across = 1; across <= 8 && across <= s.result_w; ++across) {
      const int columns = int(ceil_div(s.result_w, across)), pitch = columns + s.reach_w();
      if (columns > positions) continue;
      const int most = std::min((positions - columns) / pitch + 1, s.result_h);
      for (int rows = most; rows > 0; --rows) {
        const HaloTile tile(s, int(ceil_div(s.result_h, ceil_div(s.result_h, rows))), columns, positions);
        if (!tile.fits(s)) continue;
        const int64_t time = time_of(tile, s, filter_blocks);
        if (best.rows == 0 || time < least) best = tile, least = time;
        break;
      }
    }
  return best;
}
// Filters of the result in pairs of 64, or all in one.
Split split_of(const Conv2dParams& p, Pass pass) {
  return (pass == Pass::dgrad ? p.c_in : p.c_out) > 64 ? Split::filters : Split::pixels;
}
HaloTile tile_of(const Conv2dParams& p, Pass pass) {
  const int64_t filters = pass == Pass::dgrad ? p.c_in : p.c_out;
  return choose_tile(image_of(p, pass), ceil_div(filters, 128));
}

template <Split kSplit, int kPositions, Major kFilters>
void run(Context& context, const HaloProduct& p) {
  constexpr auto kernel = conv2d_v9_halo<kSplit, kPositions, kFilters>;
  constexpr size_t kBytes = aligned_shared_bytes<HaloShared<kSplit, kPositions>>;
  const int64_t blocks = multiprocessors();
  if constexpr (kSplit == Split::pixels)
    launch(kernel, unsigned(std::min<int64_t>(p.tiles, blocks)), kWgmmaThreads, kBytes, context, p);
  else
    launch_cluster(kernel, unsigned(2 * std::min(ceil_div(p.tiles, 2) * ceil_div(p.filters, 128), blocks / 2)), 2, kWgmmaThreads,
                   kBytes, context, p);
}

template <Major kFilters>
void run_halo(Context& context, BFloat16* result, float* statistics, const BFloat16* image, const BFloat16* weight,
              const BFloat16* bias, const BFloat16* residual, const Conv2dParams& c, Pass pass) {
  const Image s = image_of(c, pass);
  const HaloTile tile = tile_of(c, pass);
  const int filters = int(pass == Pass::dgrad ? c.c_in : c.c_out);
  const int64_t tiles = tile.tiles(s), line = 2 * c.c_in;
  const auto like_result = [&](const BFloat16* x) {
    return pixels_map(x, s.n, s.result_h, s.result_w, filters, tile.rows, tile.columns);
  };
  HaloProduct p{.s = s,
                .tile = tile,
                .tiles = index_32(tiles),
                .filters = filters,
                .chunks = int(ceil_div(s.c, kUnit)),
                .image_bytes = halo_bytes(s, tile),
                .backwards = pass == Pass::dgrad,
                .bias = bias,
                .residual_bytes = residual ? tile.rows * tile.columns * kLine : 0,
                .floor = c.activation == Activation::relu && pass == Pass::forward ? 0.0f : -INFINITY,
                .tile_sums = nullptr,
                .image_map = halo_map(image, s, tile),
                .filters_map = tensor_map(TiledTensor{.data = weight,
                                                      .dtype = DType::bf16,
                                                      .rank = 3,
                                                      .size = {c.c_in, c.kh * c.kw, c.c_out},
                                                      .stride = {line, line * c.kh * c.kw},
                                                      .box = {kUnit, 1, kUnit},
                                                      .swizzle = Swizzle::b128}),
                .result_map = like_result(result),
                .residual_map = residual ? like_result(residual) : TensorMap{}};
  const auto with = [&]<Split kSplit>() {
    if (tile.positions == 208) run<kSplit, 208, kFilters>(context, p);
    else if (tile.positions == 224) run<kSplit, 224, kFilters>(context, p);
    else run<kSplit, 240, kFilters>(context, p);
  };
  with_statistics(context, statistics, tiles, filters, c.n * c.out_h() * c.out_w(), [&](float* tile_sums) {
    p.tile_sums = tile_sums;
    split_of(c, pass) == Split::pixels ? with.template operator()<Split::pixels>() : with.template operator()<Split::filters>();
  });
}

}  // namespace

// Where 64 filters are all, their taps lie in shared memory, of 64 channels.
bool supports_halo(const Conv2dParams& p, Pass pass) {
  const int64_t channels = pass == Pass::dgrad ? p.c_out : p.c_in, taps = p.kh * p.kw;
  return p.stride == 1 && p.groups == 1 && taps > 1 && p.c_in % 8 == 0 && p.c_out % 8 == 0 && p.n > 0 &&
         (split_of(p, pass) == Split::filters || (channels <= kUnit && taps <= kResidentTaps)) && tile_of(p, pass).rows > 0 &&
         device_is_hopper();
}
// Of version 7, which takes any 128 pixels of the batch, each as long as 1.2 positions here (H200: 33 us for 64 x 28 x 28 x 128,
// here 27; 64 x 7 x 7 x 512, with 49 pixels in a tile, 27 and here 78).
bool pays_halo(const Conv2dParams& p, Pass pass) {
  const Image s = image_of(p, pass);
  const int64_t blocks = ceil_div(pass == Pass::dgrad ? p.c_in : p.c_out, 128);
  const int64_t tiles = ceil_div(int64_t{s.n} * s.result_h * s.result_w, kTileM) * blocks;
  return double(time_of(tile_of(p, pass), s, blocks)) < 1.2 * double(ceil_div(tiles, kMultiprocessors) * kTileM);
}
void halo_forward(Context& context, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight, const BFloat16* bias,
                  const BFloat16* residual, const Conv2dParams& p) {
  run_halo<Major::k>(context, y, statistics, x, weight, bias, residual, p, Pass::forward);
}
void halo_dgrad(Context& context, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others,
                const Conv2dParams& p) {
  run_halo<Major::mn>(context, dx, nullptr, dy, weight, nullptr, others, p, Pass::dgrad);
}

}  // namespace graft::GRAFT_GPU
