// Versions 7 and 8 of conv2d: the products of matmul on Hopper (kernels/matmul/wgmma_product.cuh, persistent_product.cuh),
// where TMA finds the patches as well. Its im2col mode walks the output pixels from a start on, adds the offset of a tap, and fills
// with zeros what lies outside of the image: one thread issues one instruction where version 6 has 256 threads work out addresses.
//
//   tiles    64 channels of one tap by 128 pixels, or by 64 filters. Channels beyond the last are zeros of TMA too: they meet zeros
//            of the other operand, and k counts each tap in whole tiles
//   forward  patches [pixel, (tap, channel)]                  filters as lines, their channels filled up by a copy
//   dgrad    the same of dy; its taps run backwards, and offsets count from the first     filters [(tap, output channel), channel]
//   wgrad    dy as lines, patches with the pixels along k: wgmma transposes both; a filled up dweight is cut afterwards
#include "kernels/conv2d/channels.cuh"
#include "kernels/conv2d/products.cuh"
#include "kernels/conv2d/space_to_depth.cuh"
#include "kernels/conv2d/wgmma.h"
#include "kernels/matmul/persistent_product.cuh"
#include "kernels/matmul/wgmma_product.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kUnit = kPerLine<BFloat16>;  // channels of a tile

// The offset of tap 0 in a dimension whose taps run backwards; TMA takes no negative ones.
__host__ __device__ inline int offset_of_first(int taps, int dilation) { return dilation < 0 ? (1 - taps) * dilation : 0; }

template <int kRows, Along kTaps>
TensorMap operand_map(const Patches<BFloat16, kTaps>& o, int outers, int k, int) {
  const PatchShape& s = o.s;
  const int pixels = kTaps == Along::k ? outers : k, columns = s.columns.divisor(), rows = s.rows.divisor();
  const int row = s.row - offset_of_first(s.tap_rows, s.dilation),
            column = s.column - offset_of_first(s.tap_columns.divisor(), s.dilation);
  const int64_t pixel = 2 * (s.pixel ? s.pixel : s.c), line = s.line ? 2 * s.line : pixel * s.w;
  return tensor_map(Im2colTensor{.data = o.x,
                                 .dtype = DType::bf16,
                                 .rank = 4,
                                 .size = {s.c, s.w, s.h, pixels / (rows * columns)},
                                 .stride = {pixel, line, line * s.h},
                                 .lower = {column, row},
                                 .upper = {column + (columns - 1) * s.step - (s.w - 1), row + (rows - 1) * s.step - (s.h - 1)},
                                 .channels = kUnit,
                                 .pixels = kTaps == Along::k ? kRows : kUnit,
                                 .swizzle = Swizzle::b128,
                                 .step = {1, s.step, s.step, 1, 1}});
}
template <int kRows, Along kTaps>
__device__ void load_tile(const Patches<BFloat16, kTaps>& o, BFloat16* tile, int outer, int k, int g, const TensorMap& map,
                          uint64_t* full) {
  const PatchShape& s = o.s;
  const int first_row = offset_of_first(s.tap_rows, s.dilation),
            first_column = offset_of_first(s.tap_columns.divisor(), s.dilation);
  const int pixel = kTaps == Along::k ? outer : k, line = s.columns.quotient(pixel);
  const int w = s.column - first_column + s.columns.remainder(pixel) * s.step,
            h = s.row - first_row + s.rows.remainder(line) * s.step, n = s.rows.quotient(line);
#pragma unroll
  for (int i = 0; i < (kTaps == Along::k ? 1 : kRows / kUnit); ++i) {
    const int at = kTaps == Along::k ? k : outer + kUnit * i, tap = s.channels.quotient(at);
    tma_load_im2col(tile + i * kUnit * kUnit, map, full, s.channels.remainder(at) + g * s.channels.divisor(), w, h, n,
                    first_column + s.tap_columns.remainder(tap) * s.dilation, first_row + s.tap_columns.quotient(tap) * s.dilation);
  }
}

TensorMap filters_map(const Filters<BFloat16>& o, int outers, int filters) {
  return tensor_map(TiledTensor{.data = o.x,
                                .dtype = DType::bf16,
                                .rank = 4,
                                .size = {outers, o.tap_columns.divisor(), o.tap_rows, o.filters},
                                .stride = {2 * int64_t{o.column}, 2 * int64_t{o.row}, 2 * int64_t{o.filter}},
                                .box = {kUnit, 1, 1, filters},
                                .swizzle = Swizzle::b128});
}
template <int kRows>
TensorMap operand_map(const Filters<BFloat16>& o, int outers, int, int) {
  return filters_map(o, outers, kUnit);
}
template <int kRows>
__device__ void load_tile(const Filters<BFloat16>& o, BFloat16* tile, int outer, int k, int g, const TensorMap& map,
                          uint64_t* full) {
  const int tap = o.channels.quotient(k), filter = o.channels.remainder(k) + g * o.channels.divisor();
#pragma unroll
  for (int i = 0; i < kRows / kUnit; ++i)
    tma_load(tile + i * kUnit * kUnit, map, full, outer + kUnit * i, o.tap_columns.remainder(tap), o.tap_columns.quotient(tap),
             filter);
}

// Each block loads all of it: TMA could send patches to both, in an instruction that nothing else here needs.
template <int kTileN>
TensorMap half_map(const Patches<BFloat16, Along::outer>& o, int outers, int k, int groups) {
  return operand_map<kTileN>(o, outers, k, groups);
}
template <int kTileN>
__device__ void load_half(const Patches<BFloat16, Along::outer>& o, BFloat16* tile, int n, int k, int g, int, const TensorMap& map,
                          uint64_t* full) {
  load_tile<kTileN>(o, tile, n, k, g, map, full);
}
template <int kTileN>
TensorMap half_map(const Filters<BFloat16>& o, int outers, int, int) {
  return filters_map(o, outers, kUnit / 2);
}
template <int kTileN>
__device__ void load_half(const Filters<BFloat16>& o, BFloat16* tile, int n, int k, int g, int rank, const TensorMap& map,
                          uint64_t* full) {
  const int tap = o.channels.quotient(k), filter = o.channels.remainder(k) + g * o.channels.divisor() + rank * kUnit / 2;
#pragma unroll
  for (int i = 0; i < kTileN / kUnit; ++i)
    tma_load_multicast(tile + (i * kUnit + rank * kUnit / 2) * kUnit, map, full, 3, n + kUnit * i, o.tap_columns.remainder(tap),
                       o.tap_columns.quotient(tap), filter);
}
std::optional<Rows> as_lines(const PixelRows& rows) {
  return rows.step == 1 ? std::optional(Rows{rows.group, rows.c}) : std::nullopt;
}

int64_t in_units(int64_t channels) { return ceil_div(channels, kUnit) * kUnit; }

// The channels of a group that k counts with the taps.
int64_t summed_channels(const Conv2dParams& p, Pass pass) { return (pass == Pass::dgrad ? p.c_out : p.c_in) / p.groups; }

}  // namespace

// Addresses in units of 16 bytes, what is filled up within one group, and what an im2col map can say: offsets and corners of 8
// bits, steps to 8.
bool supports_wgmma(const Conv2dParams& p, Pass pass) {
  const bool units = p.c_in % 8 == 0 && (pass == Pass::forward || p.c_out % 8 == 0);
  const bool groups = p.groups == 1 || (summed_channels(p, pass) % kUnit == 0 && p.c_in / p.groups % 8 == 0 &&
                                        (pass != Pass::wgrad || p.c_out / p.groups % 8 == 0));
  const int64_t reach = p.padding + p.dilation * std::max(p.kh, p.kw) + p.stride;
  return units && groups && reach <= 120 && p.stride <= 8 && p.groups <= kMaxGroups && output_pixels(p) > 0 && device_is_hopper();
}

// Half of each tile at least, and half of a wave of them: matmul's 64 tiles of 1024 x 1024 x 1024 take 9.9 us on an H200, 12.1 by
// version 6.
bool pays_wgmma(const Conv2dParams& p, Pass pass) {
  constexpr int64_t kWave = 132;  // multiprocessors of an H100
  const int64_t ci = p.c_in / p.groups, co = p.c_out / p.groups, pixels = output_pixels(p);
  const int64_t input_pixels = p.n * ceil_div(p.h, p.stride) * ceil_div(p.w, p.stride);  // of a residue
  const int64_t m = pass == Pass::forward ? pixels : pass == Pass::dgrad ? input_pixels : co;
  const int64_t n = pass == Pass::forward ? co : pass == Pass::dgrad ? ci : p.kh * p.kw * ci;
  const int64_t part = part_of_k<BFloat16>(p.groups, m, n, pixels, SplitK::by_shape);
  const int64_t parts = pass == Pass::wgrad ? ceil_div(pixels, part) : 1;
  return summed_channels(p, pass) >= kUnit / 2 && m >= 64 && n >= 64 &&
         2 * parts * p.groups * ceil_div(m, kTileM) * ceil_div(n, kTileN7) >= kWave;
}

// run(product)
template <class Run>
static void with_forward_product(Context& context, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight,
                                 const BFloat16* bias, const BFloat16* residual, const Conv2dParams& p, Run run) {
  Conv2dParams q = p;
  q.c_in = in_units(p.c_in);
  const int64_t taps = p.c_out * p.kh * p.kw;
  const auto wide_weight = device_scratch<BFloat16>(context, size_t(q.c_in == p.c_in ? 0 : taps * q.c_in));
  if (q.c_in != p.c_in) {
    resize_channels<BFloat16>(context, wide_weight.get(), weight, taps, q.c_in, p.c_in);
    weight = wide_weight.get();
  }
  auto product = forward_product(y, statistics, x, weight, bias, residual, q);
  product.a.s.c = int(p.c_in);
  run(product);
}
void wgmma_forward(Context& context, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight,
                   const BFloat16* bias, const BFloat16* residual, const Conv2dParams& p) {
  with_forward_product(context, y, statistics, x, weight, bias, residual, p,
                       [&](const auto& product) { run_v7(context, product, SplitK::never); });
}

namespace {
// Version 8 of patches, which TMA brings slower than lines. (One round of 72 steps of 128 x 128: 28 us on an H200.)
double cost_of_persistent(MatmulParams s, int largest) {
  s.k += s.k / 3;
  return least_cost(s, largest);
}
// Version 7 in the units of rounds_cost(): 20 for each round of its blocks, which fill their ring and store while nothing is
// multiplied. (12 rounds of 4 steps: 75 us, one of 72: 27 us.)
double cost_of_wgmma(const MatmulParams& s) {
  const int64_t blocks = s.batch * ceil_div(s.m, kTileM) * ceil_div(s.n, kTileN7);
  return double(ceil_div(blocks, 2 * kPairs) * (ceil_div(s.k, kUnit) + 20));
}
template <class P>
void run_persistent(Context& context, const P& product) {
  with_statistics(context, product, kTileM, [&](const auto& p) { run_v8(context, p); });
}
}  // namespace

bool supports_persistent_patches(const Conv2dParams& p, const BFloat16* residual, const float* statistics) {
  return supports_wgmma(p, Pass::forward) && output_pixels(p) > kTileM && statistics_fit(statistics, residual, p.activation);
}
bool pays_persistent_patches(const Conv2dParams& p, const BFloat16* residual, const float* statistics) {
  const MatmulParams s{p.groups, output_pixels(p), p.c_out / p.groups, p.kh * p.kw * in_units(p.c_in / p.groups)};
  return pays_wgmma(p, Pass::forward) && cost_of_persistent(s, largest_tile(residual, statistics)) < cost_of_wgmma(s);
}
void persistent_forward(Context& context, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight,
                        const BFloat16* bias, const BFloat16* residual, const Conv2dParams& p) {
  with_forward_product(context, y, statistics, x, weight, bias, residual, p,
                       [&](const auto& product) { run_persistent(context, product); });
}
// run(product) for each residue of the stride
template <class Run>
static void with_dgrad_products(BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others,
                                const Conv2dParams& p, Run run) {
  Conv2dParams q = p;
  q.c_out = in_units(p.c_out);
  for_each_dgrad_product(dx, dy, weight, others, q, [&](auto product) {
    product.a.s.c = product.b.filters = int(p.c_out);
    run(product);
  });
}
void wgmma_dgrad(Context& context, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others,
                 const Conv2dParams& p) {
  with_dgrad_products(dx, dy, weight, others, p, [&](const auto& product) { run_v7(context, product, SplitK::never); });
}

bool pays_persistent_dgrad(const Conv2dParams& p, const BFloat16* others) {
  if (!pays_wgmma(p, Pass::dgrad)) return false;
  double cost = 0, cost_of_v7 = 0;
  const BFloat16* const none = nullptr;
  with_dgrad_products(nullptr, none, none, none, p, [&](const auto& product) {
    cost += cost_of_persistent(shape_of(product), largest_tile(others, nullptr)), cost_of_v7 += cost_of_wgmma(shape_of(product));
  });
  return cost < cost_of_v7;
}
void persistent_dgrad(Context& context, BFloat16* dx, const BFloat16* dy, const BFloat16* weight, const BFloat16* others,
                      const Conv2dParams& p) {
  with_dgrad_products(dx, dy, weight, others, p, [&](const auto& product) { run_v8(context, product); });
}
// run(product)
template <class Run>
static void with_wgrad_product(Context& context, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams& p,
                               Run run) {
  Conv2dParams q = p;
  q.c_in = in_units(p.c_in);
  const int64_t taps = p.c_out * p.kh * p.kw;
  const auto wide_dweight = device_scratch<BFloat16>(context, size_t(q.c_in == p.c_in ? 0 : taps * q.c_in));
  auto product = wgrad_product(q.c_in == p.c_in ? dweight : wide_dweight.get(), dy, x, q);
  product.b.s.c = int(p.c_in);
  run(product);
  if (q.c_in != p.c_in) resize_channels<BFloat16>(context, dweight, wide_dweight.get(), taps, p.c_in, q.c_in);
}
void wgmma_wgrad(Context& context, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams& p) {
  with_wgrad_product(context, dweight, dy, x, p, [&](const auto& product) { run_v7(context, product, SplitK::by_shape); });
}

bool pays_persistent_wgrad(const Conv2dParams& p) {
  const MatmulParams s{p.groups, p.c_out / p.groups, p.kh * p.kw * in_units(p.c_in / p.groups), output_pixels(p)};
  return pays_wgmma(p, Pass::wgrad) && s.m > kTileM &&
         least_cost(s, 256) < parts_of_k(s.batch, s.m, s.n, s.k, kUnit, SplitK::by_shape).cost;
}
void persistent_wgrad(Context& context, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams& p) {
  with_wgrad_product(context, dweight, dy, x, p, [&](const auto& product) { run_v8(context, product); });
}

// Version 10: versions 7 and 8 on squares of pixels.
bool supports_space_to_depth(const Conv2dParams& p, Pass pass) {
  return pass != Pass::dgrad && SpaceToDepth::supports(p) && output_pixels(p) > 0 &&
         supports_wgmma(SpaceToDepth(p).folded(kTapElements), pass);
}
namespace {
template <class F>
void with_squares(Context& context, const BFloat16* x, const SpaceToDepth& s, F f) {
  index_32(2 * s.squares());
  const auto squares = device_scratch<BFloat16>(context, size_t(s.squares() * kSquare));
  const auto filters = device_scratch<BFloat16>(context, size_t(s.filter_elements()));
  launch(fold_pixels_v10, blocks_for(2 * s.squares(), kThreads), kThreads, 0, context, squares.get(), x, s);
  f(squares.get(), filters.get(), [&](PatchShape& patches) {
    patches.c = s.tap_columns * kSquare;
    patches.pixel = kSquare;
    patches.line = s.columns * kSquare;
  });
}
}  // namespace
void space_to_depth_forward(Context& context, BFloat16* y, float* statistics, const BFloat16* x, const BFloat16* weight,
                            const BFloat16* bias, const BFloat16* residual, const Conv2dParams& p) {
  const SpaceToDepth s(p);
  with_squares(context, x, s, [&](const BFloat16* squares, BFloat16* filters, auto overlap) {
    launch(fold_filters_v10, blocks_for(s.filter_elements(), kThreads), kThreads, 0, context, filters, weight, s);
    auto product =
        forward_product(y, statistics, squares, static_cast<const BFloat16*>(filters), bias, residual, s.folded(kTapElements));
    overlap(product.a.s);
    if (statistics_fit(statistics, residual, p.activation) &&
        cost_of_persistent(shape_of(product), largest_tile(residual, statistics)) < cost_of_wgmma(shape_of(product)))
      run_persistent(context, product);
    else run_v7(context, product, SplitK::never);
  });
}
void space_to_depth_wgrad(Context& context, BFloat16* dweight, const BFloat16* dy, const BFloat16* x, const Conv2dParams& p) {
  const SpaceToDepth s(p);
  with_squares(context, x, s, [&](const BFloat16* squares, BFloat16* filters, auto overlap) {
    auto product = wgrad_product(filters, dy, squares, s.folded(kTapElements));
    overlap(product.b.s);
    run_v7(context, product, SplitK::by_shape);
    launch(unfold_filters_v10, blocks_for(s.filter_elements(), kThreads), kThreads, 0, context, dweight,
           static_cast<const BFloat16*>(filters), s);
  });
}

}  // namespace graft::GRAFT_GPU
