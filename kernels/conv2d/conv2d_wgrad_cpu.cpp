// dweight[co][tap, ci] = sum over pixels of patch[pixel][tap, ci] dy[pixel][co]: tiles of (patch element x co) whose k runs
// through pixels, patches read in place from a padded strip. The images are cut into parts by shape alone; each part sums
// its own dweight, and the parts are added in order, so the bits do not depend on the threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_wgrad_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/common/registry.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/strip_cpu.h"
#include "kernels/conv2d/wgrad.h"
#include "kernels/matmul/tile_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

// packed[pixels][width] = dy masked by y; sums[width] += its columns.
void PackGradient(float* HWY_RESTRICT packed, float* HWY_RESTRICT sums, const float* dy, const float* y, int64_t pixels,
                  int64_t step, int64_t cols, int64_t width) {
  const F32 d;
  const int64_t vectors = cols / int64_t(kLanes) * int64_t(kLanes);
  for (int64_t v = 0; v < vectors; v += kLanes) {
    VF sum = hn::LoadU(d, sums + v);
    const float* g = dy + v;
    const float* out = y ? y + v : nullptr;
    for (int64_t i = 0; i < pixels; ++i) {
      VF value = hn::LoadU(d, g + i * step);
      if (out) value = hn::IfThenElse(hn::Le(hn::LoadU(d, out + i * step), hn::Zero(d)), hn::Zero(d), value);
      sum = hn::Add(sum, value);
      hn::StoreU(value, d, packed + i * width + v);
    }
    hn::StoreU(sum, d, sums + v);
  }
  for (int64_t j = vectors; j < width; ++j)
    for (int64_t i = 0; i < pixels; ++i) {
      const bool off = j >= cols || (y && y[i * step + j] <= 0);
      packed[i * width + j] = off ? 0 : dy[i * step + j];
      sums[j] += packed[i * width + j];
    }
}

// Adds rows [first, first + rows) of the output of `images` images (several: all rows) to partial[panels][patch][kPanel] and
// sums[panels][kPanel], for panels [begin, end), numbered through all groups. `start`: nothing was added before.
void WgradStrip(const Wgrad& w, int64_t image, int64_t images, int64_t first, int64_t rows, int64_t begin, int64_t end, bool start,
                float* partial, float* sums, const WgradBuffers& buffers) {
  const PaddedImage& p = w.source;
  const float* in = w.x + image * p.h * p.w * p.c;
  const int64_t top = first * w.stride, source_rows = (rows - 1) * w.stride + w.span;
  for (int64_t i = 0; !w.in_place() && i < images; ++i)
    fill_strip_blocks(buffers.strip + i * w.strip_floats, in + i * p.h * p.w * p.c, p, top, source_rows, w.block, w.block_floats);
  const float* base = w.in_place() ? in + top * p.w * p.c : buffers.strip;
  const int64_t panels = kLayout.count(w.out_group), patch = w.patch();
  for (int64_t e = 0; e < w.groups * patch; ++e) buffers.a[e] = base + w.elements[size_t(e)];
  for (int64_t e = 0; e < patch; ++e) buffers.c[e] = partial + e * kPanel;
  const int64_t pixel = (image * w.out_h + first) * w.out_w * w.c_out;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t g = t / panels, panel = t % panels, width = kLayout.width(w.out_group, panel);
    const int64_t channel = pixel + g * w.out_group + panel * kPanel;
    float* sum = sums + t * kPanel;
    if (start) std::fill_n(sum, width, 0.0f);
    PackGradient(buffers.dy, sum, w.dy + channel, w.y ? w.y + channel : nullptr, images * rows * w.out_w, w.c_out,
                 kLayout.cols(w.out_group, panel), width);
    compute_panel(patch, Tile{buffers.a + g * patch, 0, w.stride * w.block, w.runs.data(), images * rows, buffers.dy, width,
                              buffers.c, t * patch * kPanel, width, !start, nullptr, false});
  }
}

// dweight of panel t, elements [begin, end): the parts (each `size` floats) added in order, then transposed.
void WgradReduce(const Wgrad& w, float* dweight, const float* partials, int64_t parts, int64_t size, int64_t t, int64_t begin,
                 int64_t end) {
  const F32 d;
  const int64_t panels = kLayout.count(w.out_group), patch = w.patch(), panel = t % panels, cols = kLayout.cols(w.out_group, panel);
  float* out = dweight + (t / panels * w.out_group + panel * kPanel) * patch;
  for (int64_t v = 0; v < cols; v += kLanes)
    for (int64_t e = begin; e < end; ++e) {
      const float* from = partials + (t * patch + e) * kPanel + v;
      VF sum = hn::LoadU(d, from);
      for (int64_t part = 1; part < parts; ++part) sum = hn::Add(sum, hn::LoadU(d, from + part * size));
      HWY_ALIGN float values[kLanes];
      hn::Store(sum, d, values);
      for (int64_t j = 0; j < std::min<int64_t>(kLanes, cols - v); ++j) out[(v + j) * patch + e] = values[j];
    }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(WgradStrip);
HWY_EXPORT(WgradReduce);

namespace {
// dy of a strip, one panel. The sums of a tile come from memory and go back once a strip: long strips pay for it. (7 x 7 x 512,
// 3 x 3, two cores with AVX-512: 10.9 ms; 16.2 with half of that and a quarter of kStripFloats.)
constexpr int64_t kPanelFloats = 1 << 13;
constexpr int64_t kPartsFloats = 1 << 20;  // all parts together: 4 MB
constexpr int64_t kLargeWeight = 1 << 17;  // 512 KB
// Pixels of many channels lie a power of two apart and would share a few sets of L1: 48 floats are three cache lines.
constexpr int64_t kMaxBlock = 96, kBlock = 48;
constexpr int64_t kReduced = 256;  // patch elements added in one task
constexpr int64_t kTasks = 8;      // enough to balance a few threads
}  // namespace

void conv2d_wgrad(Context& context, float* dweight, float* dbias, const float* dy, const float* x, const float* y,
                  const Conv2dParams& p) {
  const PanelLayout layout = panel_layout();
  const int64_t ci = p.c_in / p.groups, oh = p.out_h(), ow = p.out_w();
  if (p.n == 0) {
    std::fill_n(dweight, p.c_out * p.kh * p.kw * ci, 0.0f);
    if (dbias) std::fill_n(dbias, p.c_out, 0.0f);
    return;
  }
  Wgrad w{};
  w.stride = p.stride;
  w.span = p.dilation * (p.kh - 1) + 1;
  w.source = {
      p.h, p.w, p.c_in, p.padding, p.padding, (oh - 1) * p.stride + w.span, (ow - 1) * p.stride + p.dilation * (p.kw - 1) + 1};
  w.out_h = oh, w.out_w = ow, w.c_out = p.c_out;
  w.groups = p.groups, w.source_group = ci, w.out_group = p.c_out / p.groups;
  w.block = p.c_in > kMaxBlock ? kBlock : p.c_in;
  w.row_floats = (w.in_place() ? p.w : w.source.cols) * w.block;
  w.x = x, w.dy = dy, w.y = p.activation == Activation::relu ? y : nullptr;

  const int64_t blocks = (p.c_in + w.block - 1) / w.block, source_row = blocks * w.row_floats;
  const int64_t fitting = (kStripFloats - (w.span - p.stride) * source_row) / (source_row * p.stride);
  const int64_t strip_rows = std::clamp<int64_t>(std::min(fitting, kPanelFloats / (layout.panel * ow)), 1, oh);
  const int64_t strips = (oh + strip_rows - 1) / strip_rows;
  w.block_floats = ((strip_rows - 1) * p.stride + w.span) * w.row_floats;
  w.strip_floats = blocks * w.block_floats;
  for (int64_t g = 0; g < p.groups; ++g)
    for (int64_t kh = 0; kh < p.kh; ++kh)
      for (int64_t kw = 0; kw < p.kw; ++kw)
        for (int64_t c = g * ci; c < (g + 1) * ci; ++c)
          w.elements.push_back(c / w.block * w.block_floats + kh * p.dilation * w.row_floats + kw * p.dilation * w.block +
                               c % w.block);

  const int64_t patch = w.patch(), elements = p.groups * patch;
  const int64_t panels = layout.count(w.out_group) * p.groups, size = panels * patch * layout.panel;
  // Where dweight itself is larger than a cache, several images at a time, so that it passes through less often.
  const int64_t several = std::min(kPanelFloats / (layout.panel * oh * ow), size / 8 / w.strip_floats);
  const int64_t images = strips == 1 && size > kLargeWeight ? std::clamp<int64_t>(several, 1, p.n) : 1;
  for (int64_t i = 0; i < images; ++i)
    for (int64_t r = 0; r < strip_rows; ++r)
      w.runs.push_back({i * (w.in_place() ? p.h * p.w * p.c_in : w.strip_floats) + r * p.stride * w.row_floats, ow});
  const int64_t units = (p.n + images - 1) / images * strips;
  const int64_t parts = std::min(units, std::clamp<int64_t>(kPartsFloats / size, 1, kTasks));
  const int64_t shares = std::min(panels, (kTasks + parts - 1) / parts);
  const int workers = context.pool().size();
  const int64_t strip_size = w.in_place() ? 0 : images * w.strip_floats, dy_size = images * strip_rows * ow * layout.panel;
  const auto partials = context.scratch<float>(size_t(parts * size));
  const auto sums = context.scratch<float>(size_t(parts * panels * layout.panel));
  const auto strip = context.scratch<float>(size_t(workers * strip_size));
  const auto packed = context.scratch<float>(size_t(workers * dy_size));
  const auto a = context.scratch<const float*>(size_t(workers * elements));
  const auto c = context.scratch<float*>(size_t(workers * patch));
  context.pool().parallel_for(parts * shares, [&](int64_t t, int worker) {
    const int64_t part = t / shares, share = t % shares, first = units * part / parts, last = units * (part + 1) / parts;
    const WgradBuffers buffers{strip.get() + worker * strip_size, packed.get() + worker * dy_size, a.get() + worker * elements,
                               c.get() + worker * patch};
    for (int64_t u = first; u < last; ++u) {
      const int64_t row = u % strips * strip_rows, image = u / strips * images;
      HWY_DYNAMIC_DISPATCH(WgradStrip)
      (w, image, std::min(images, p.n - image), row, std::min(strip_rows, oh - row), panels * share / shares,
       panels * (share + 1) / shares, u == first, partials.get() + part * size, sums.get() + part * panels * layout.panel, buffers);
    }
  });
  const int64_t pieces = (patch + kReduced - 1) / kReduced;
  context.pool().parallel_for(panels * pieces, [&](int64_t t, int) {
    const int64_t begin = t % pieces * kReduced;
    HWY_DYNAMIC_DISPATCH(WgradReduce)
    (w, dweight, partials.get(), parts, size, t / pieces, begin, std::min(begin + kReduced, patch));
  });
  for (int64_t o = 0; dbias && o < p.c_out; ++o) {
    const int64_t at = o / w.out_group * layout.count(w.out_group) * layout.panel + o % w.out_group;
    dbias[o] = sums[size_t(at)];
    for (int64_t part = 1; part < parts; ++part) dbias[o] += sums[size_t(part * panels * layout.panel + at)];
  }
}

GRAFT_KERNEL(conv2d, wgrad, cpu, float, Conv2dWgrad);

}  // namespace graft::cpu
#endif
