#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/correlation.h"
#include "kernels/conv2d/strip_cpu.h"
#include "kernels/matmul/tile_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// Panel p of the weights of a group.
void CorrelatePack(float* packed, const Correlation& c, int64_t g, const Phase& phase, int64_t p) {
  const int64_t width = kLayout.width(c.out_group, p);
  float* out = packed + g * c.packed_group + phase.packed + p * kPanel * phase.k;
  for (const Tap& tap : phase.taps) {
    pack_panel(out, c.weight + g * c.weight_group + tap.weight + p * kPanel * c.j_step, c.k_step, c.j_step, c.source_group,
               kLayout.cols(c.out_group, p), width);
    out += c.source_group * width;
  }
}

// out = f(out + residual) in `cols` channels of pixels that a panel has just computed.
void AddResidual(const Correlation& c, float* const* out, int64_t pixels, int64_t channel, int64_t cols) {
  for (int64_t i = 0; i < pixels; ++i) {
    float* const y = out[i] + channel;
    const float* const r = c.residual + (y - c.out);
    for (int64_t j = 0; j < cols; ++j) y[j] += r[j];
    for (int64_t j = 0; c.relu && j < cols; ++j) y[j] = y[j] < 0 ? 0 : y[j];  // keeps NaN
  }
}

// Output rows [first, first + rows) of one phase of `images` images, panels [begin, end) (numbered through all groups).
void CorrelateStrip(const Correlation& c, const Phase& phase, const float* packed, int64_t image, int64_t images, int64_t first,
                    int64_t rows, int64_t begin, int64_t end, float* strip, const float** a, float** out) {
  const PaddedImage& p = c.source;
  const bool in_place = p.in_place() && !c.mask;
  const int64_t cols = in_place ? p.w : p.cols, top = first * c.source_step, source_rows = (rows - 1) * c.source_step + c.span;
  int64_t pixels = 0;
  for (int64_t n = image; n < image + images; ++n, strip += source_rows * cols * p.c) {
    const int64_t at = n * p.h * p.w * p.c;
    if (!in_place) fill_strip(strip, c.in + at, c.mask ? c.mask + at : nullptr, p, top, source_rows);
    const float* base = in_place ? c.in + at + top * p.w * p.c : strip;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < phase.w; ++j, ++pixels) {
        a[pixels] = base + (i * cols + j) * c.source_step * p.c;
        out[pixels] =
            c.out + ((n * c.out_h + phase.row + (first + i) * c.out_step) * c.out_w + phase.col + j * c.out_step) * c.out_c;
      }
  }
  const int64_t panels = kLayout.count(c.out_group),
                ahead = in_place && phase.k <= kBlockK ? kTileRows * c.source_step * p.c : 0;  // of the pixels of the next tile
  const bool stream = !c.residual && c.out_group % int64_t(kLanes) == 0 &&
                      streams(c.out, c.out_c, c.n * c.out_h * c.out_w * c.out_c, int64_t(kLanes));
  size_t r0 = 0;
  int64_t k0 = 0;
  do {  // a block of runs at a time; once without any, too: zeros
    size_t r1 = r0;
    int64_t count = 0;
    while (r1 < phase.runs.size() && (r1 == r0 || count + phase.runs[r1].count <= kBlockK)) count += phase.runs[r1++].count;
    const bool last = r1 == phase.runs.size();
    for (int64_t t = begin; t < end; ++t) {
      const int64_t g = t / panels, panel = t % panels, width = kLayout.width(c.out_group, panel);
      const int64_t channel = g * c.out_group + panel * kPanel, cols_of_panel = kLayout.cols(c.out_group, panel);
      compute_panel(pixels,
                    Tile{a, g * c.source_group, 1, phase.runs.data() + r0, int64_t(r1 - r0),
                         packed + g * c.packed_group + phase.packed + panel * kPanel * phase.k + k0 * width, width, out, channel,
                         cols_of_panel, r0 > 0, last && c.bias ? c.bias + channel : nullptr, last && c.relu && !c.residual,
                         t == begin && ahead ? a[0] + ahead : nullptr, ahead, stream && last && r0 == 0});
      if (last && c.residual) AddResidual(c, out, pixels, channel, cols_of_panel);
    }
    r0 = r1;
    k0 += count;
  } while (r0 < phase.runs.size());
  if (stream) hwy::FlushStream();
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(CorrelatePack);
HWY_EXPORT(CorrelateStrip);

namespace {

constexpr int64_t kTaskProducts = 1 << 18;  // at least this many multiply-adds a task, where a strip has them
constexpr int64_t kTaskPixels = 384;        // at most this many pixels a task of several images
constexpr int64_t kTasks = 16;              // at least this many tasks of several images

// The taps of a phase as runs of floats: neighbours join, long ones are cut to kBlockK.
void find_runs(Phase& phase, const Correlation& c, int64_t row_floats) {
  for (const Tap& tap : phase.taps) {
    int64_t offset = tap.row * row_floats + tap.col * c.source.c, left = c.source_group;
    if (!phase.runs.empty()) {
      Run& previous = phase.runs.back();
      const int64_t more = std::min(left, kBlockK - previous.count);
      if (previous.offset + previous.count == offset && more > 0) {
        previous.count += more;
        offset += more;
        left -= more;
      }
    }
    for (; left > 0; offset += kBlockK, left -= kBlockK) phase.runs.push_back({offset, std::min(left, kBlockK)});
  }
  phase.k = int64_t(phase.taps.size()) * c.source_group;
}

void correlate(Context& context, Correlation& c) {
  const PanelLayout layout = panel_layout();
  const bool in_place = c.source.in_place() && !c.mask;
  const int64_t row_floats = (in_place ? c.source.w : c.source.cols) * c.source.c;
  c.packed_group = 0;
  for (Phase& phase : c.phases) {
    find_runs(phase, c, row_floats);
    phase.packed = c.packed_group;
    c.packed_group += phase.k * layout.padded(c.out_group);
  }
  const auto packed = context.scratch<float>(size_t(c.packed_group * c.groups));
  const int64_t phases = int64_t(c.phases.size()), group_panels = layout.count(c.out_group);
  context.pool().parallel_for(c.groups * phases * group_panels, [&](int64_t t, int) {
    const int64_t panel = t % group_panels, phase = t / group_panels % phases, group = t / (group_panels * phases);
    HWY_DYNAMIC_DISPATCH(CorrelatePack)(packed.get(), c, group, c.phases[size_t(phase)], panel);
  });

  // Tasks: image x strip of rows x phase x share of the panels, all cut by the geometry of one image.
  const Phase& widest = c.phases[0];
  const int64_t floats_a_row = row_floats * c.source_step + 4 * widest.w;
  const int64_t fitting = (kStripFloats - (c.span - c.source_step) * row_floats) / floats_a_row;
  const int64_t strip_rows = std::clamp<int64_t>(fitting, std::min<int64_t>(4, widest.h), widest.h);
  const int64_t strips = (widest.h + strip_rows - 1) / strip_rows;
  const int64_t panels = group_panels * c.groups;
  const int64_t products = strip_rows * widest.w * std::max<int64_t>(1, widest.k) * std::min(layout.panel, c.out_group);
  const int64_t share = std::max<int64_t>((panels + 3) / 4, kTaskProducts / products + 1);  // panels a task
  const int64_t shares = (panels + share - 1) / share;
  // Several small images at a time: a panel of weights in L1 serves more rows, and fewer tiles are cut off at the end.
  const int64_t image_floats = ((strip_rows - 1) * c.source_step + c.span) * row_floats;
  const int64_t most = std::min({std::max(kStripFloats, c.packed_group / 8) / image_floats, kTaskPixels / (strip_rows * widest.w),
                                 c.n * phases * shares / kTasks});
  const int64_t images = strips == 1 ? std::max<int64_t>(1, most) : 1, chunks = (c.n + images - 1) / images;
  const int64_t pixels = strip_rows * widest.w * images;
  const int workers = context.pool().size();
  const int64_t strip_floats = in_place ? 0 : image_floats * images;
  const auto strip = context.scratch<float>(size_t(strip_floats * workers));
  const auto a = context.scratch<const float*>(size_t(pixels * workers));
  const auto out = context.scratch<float*>(size_t(pixels * workers));
  context.pool().parallel_for(chunks * phases * strips * shares, [&](int64_t t, int worker) {
    const int64_t begin = t % shares * share, first = t / shares % strips * strip_rows,
                  image = t / (shares * strips * phases) * images;
    const Phase& phase = c.phases[size_t(t / (shares * strips) % phases)];
    const int64_t rows = std::min(strip_rows, phase.h - first);
    if (rows <= 0 || phase.w <= 0) return;
    HWY_DYNAMIC_DISPATCH(CorrelateStrip)
    (c, phase, packed.get(), image, std::min(images, c.n - image), first, rows, begin, std::min(begin + share, panels),
     strip.get() + worker * strip_floats, a.get() + worker * pixels, out.get() + worker * pixels);
  });
}

// Mean and variance of the channels; sums of blocks of rows by shape, added in order.
void channel_statistics(Context& context, float* statistics, const float* y, const Conv2dParams& p) {
  constexpr int64_t kBlock = 256;
  const int64_t rows = p.n * p.out_h() * p.out_w(), c = p.c_out, blocks = (rows + kBlock - 1) / kBlock;
  const auto sums = context.scratch<double>(size_t(blocks * 2 * c));
  context.pool().parallel_for(blocks, [&](int64_t block, int) {
    double *sum = sums.get() + block * 2 * c, *square = sum + c;
    std::fill_n(sum, 2 * c, 0.0);
    for (int64_t r = block * kBlock, end = std::min(rows, r + kBlock); r < end; ++r)
      for (int64_t i = 0; i < c; ++i) sum[i] += y[r * c + i], square[i] += double(y[r * c + i]) * y[r * c + i];
  });
  for (int64_t i = 0; i < c; ++i) {
    double mean = 0, square = 0;
    for (int64_t block = 0; block < blocks; ++block)
      mean += sums[size_t(block * 2 * c + i)], square += sums[size_t((block * 2 + 1) * c + i)];
    mean /= double(rows);
    const double var = square / double(rows) - mean * mean;
    statistics[i] = float(mean);
    statistics[c + i] = var < 0 ? 0.0f : float(var);
  }
}

}  // namespace

void conv2d_forward(Context& context, float* y, float* statistics, const float* x, const float* weight, const float* bias,
                    const float* residual, const Conv2dParams& p) {
  const int64_t ci = p.c_in / p.groups, oh = p.out_h(), ow = p.out_w();
  Correlation c{};
  c.n = p.n;
  c.span = p.dilation * (p.kh - 1) + 1;
  c.source = {
      p.h, p.w, p.c_in, p.padding, p.padding, (oh - 1) * p.stride + c.span, (ow - 1) * p.stride + p.dilation * (p.kw - 1) + 1};
  c.source_step = p.stride;
  c.out_h = oh, c.out_w = ow, c.out_c = p.c_out, c.out_step = 1;
  c.groups = p.groups, c.source_group = ci, c.out_group = p.c_out / p.groups;
  c.k_step = 1, c.j_step = p.kh * p.kw * ci, c.weight_group = c.out_group * c.j_step;
  Phase all{0, 0, oh, ow, {}, {}, 0, 0};
  for (int64_t kh = 0; kh < p.kh; ++kh)
    for (int64_t kw = 0; kw < p.kw; ++kw) all.taps.push_back({kh * p.dilation, kw * p.dilation, (kh * p.kw + kw) * ci});
  c.phases.push_back(std::move(all));
  c.in = x, c.weight = weight, c.bias = bias, c.residual = residual, c.relu = p.activation == Activation::relu, c.out = y;
  if (p.n > 0) correlate(context, c);
  if (statistics) channel_statistics(context, statistics, y, p);
}

void conv2d_dgrad(Context& context, float* dx, const float* dy, const float* weight, const float* y, const float* others,
                  const Conv2dParams& p) {
  // Pixel r = s i + phase of dx takes part in output row (r + padding - kh dilation) / s = i + q where that is whole.
  struct Axis {
    std::vector<std::vector<std::pair<int64_t, int64_t>>> taps;
    int64_t lowest = INT64_MAX, highest = INT64_MIN;
  };
  const auto axis = [&](int64_t kernel) {
    Axis a;
    for (int64_t phase = 0; phase < p.stride; ++phase) {
      auto& taps = a.taps.emplace_back();  // (q, k), q growing
      for (int64_t k = kernel - 1; k >= 0; --k)
        if (const int64_t r = phase + p.padding - k * p.dilation; r % p.stride == 0) {
          taps.emplace_back(r / p.stride, k);
          a.lowest = std::min(a.lowest, r / p.stride);
          a.highest = std::max(a.highest, r / p.stride);
        }
    }
    return a;
  };
  const Axis rows = axis(p.kh), cols = axis(p.kw);
  const int64_t ci = p.c_in / p.groups, co = p.c_out / p.groups, s = p.stride;
  Correlation c{};
  c.n = p.n;
  c.span = rows.highest - rows.lowest + 1;
  c.source = {p.out_h(),
              p.out_w(),
              p.c_out,
              -rows.lowest,
              -cols.lowest,
              (p.h + s - 1) / s - 1 + c.span,
              (p.w + s - 1) / s + cols.highest - cols.lowest};
  c.source_step = 1;
  c.out_h = p.h, c.out_w = p.w, c.out_c = p.c_in, c.out_step = s;
  c.groups = p.groups, c.source_group = co, c.out_group = ci;
  c.k_step = p.kh * p.kw * ci, c.j_step = 1, c.weight_group = co * c.k_step;
  for (int64_t i = 0; i < s; ++i)
    for (int64_t j = 0; j < s; ++j) {
      Phase phase{i, j, (p.h - i + s - 1) / s, (p.w - j + s - 1) / s, {}, {}, 0, 0};
      for (auto [q, kh] : rows.taps[size_t(i)])
        for (auto [r, kw] : cols.taps[size_t(j)]) phase.taps.push_back({q - rows.lowest, r - cols.lowest, (kh * p.kw + kw) * ci});
      c.phases.push_back(std::move(phase));
    }
  c.in = dy, c.mask = p.activation == Activation::relu ? y : nullptr, c.weight = weight, c.residual = others, c.out = dx;
  if (p.n > 0) correlate(context, c);
}

GRAFT_KERNEL(conv2d, forward, cpu, float, Conv2dForward);
GRAFT_KERNEL(conv2d, dgrad, cpu, float, Conv2dDgrad);

}  // namespace graft::cpu
#endif
