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
void PackGradient(float* HWY_RESTRICT packed, float* HWY_RESTRICT sums, const float* dy, const float* y, int64_t pixels, int64_t step,
                  int64_t cols, int64_t width) {
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

// Adds one strip (rows [first, first + rows) of the output) of one image to partial[groups][patch][padded] and
// sums[groups][padded], for panels [begin, end), numbered through all groups. `start`: nothing was added before.
void WgradStrip(const Wgrad& w, int64_t image, int64_t first, int64_t rows, int64_t begin, int64_t end, bool start,
                float* partial, float* sums, const WgradBuffers& buffers) {
  const PaddedImage& p = w.source;
  const float* in = w.x + image * p.h * p.w * p.c;
  const int64_t top = first * w.stride;
  if (!p.in_place()) fill_strip(buffers.strip, in, nullptr, p, top, (rows - 1) * w.stride + w.span);
  const float* base = p.in_place() ? in + top * p.w * p.c : buffers.strip;
  const int64_t panels = kLayout.count(w.out_group), padded = kLayout.padded(w.out_group), patch = w.patch();
  for (int64_t e = 0; e < patch; ++e) {
    buffers.a[e] = base + w.elements[size_t(e)];
    buffers.c[e] = partial + e * padded;
  }
  const int64_t pixel = (image * w.out_h + first) * w.out_w * w.c_out;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t g = t / panels, panel = t % panels, width = kLayout.width(w.out_group, panel);
    const int64_t channel = pixel + g * w.out_group + panel * kPanel;
    float* sum = sums + g * padded + panel * kPanel;
    if (start) std::fill_n(sum, width, 0.0f);
    PackGradient(buffers.dy, sum, w.dy + channel, w.y ? w.y + channel : nullptr, rows * w.out_w, w.c_out,
                 kLayout.cols(w.out_group, panel), width);
    compute_panel(patch, Tile{buffers.a, g * w.source_group, w.stride * p.c, w.runs.data(), rows, buffers.dy, width, buffers.c,
                              g * patch * padded + panel * kPanel, width, !start, nullptr, false});
  }
}

// dweight[c_out][patch], elements [begin, end) of every filter: the parts (each `size` floats) added in order.
void WgradReduce(const Wgrad& w, float* dweight, const float* partials, int64_t parts, int64_t size, int64_t begin, int64_t end) {
  const F32 d;
  const int64_t padded = kLayout.padded(w.out_group), patch = w.patch();
  for (int64_t g = 0; g < w.groups; ++g)
    for (int64_t e = begin; e < end; ++e)
      for (int64_t v = 0; v < padded; v += kLanes) {
        const float* from = partials + (g * patch + e) * padded + v;
        VF sum = hn::LoadU(d, from);
        for (int64_t part = 1; part < parts; ++part) sum = hn::Add(sum, hn::LoadU(d, from + part * size));
        HWY_ALIGN float values[kLanes];
        hn::Store(sum, d, values);
        for (int64_t j = 0; j < std::min<int64_t>(kLanes, w.out_group - v); ++j)
          dweight[(g * w.out_group + v + j) * patch + e] = values[j];
      }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(WgradStrip);
HWY_EXPORT(WgradReduce);

namespace {
constexpr int64_t kPanelFloats = 1 << 12;   // dy of a strip, one panel: half of L1
constexpr int64_t kPartsFloats = 1 << 20;   // all parts together: 4 MB
constexpr int64_t kTasks = 8;               // enough to balance a few threads
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
  w.source = {p.h, p.w, p.c_in, p.padding, p.padding, (oh - 1) * p.stride + w.span, (ow - 1) * p.stride + p.dilation * (p.kw - 1) + 1};
  w.out_h = oh, w.out_w = ow, w.c_out = p.c_out;
  w.groups = p.groups, w.source_group = ci, w.out_group = p.c_out / p.groups;
  w.row_floats = (w.source.in_place() ? p.w : w.source.cols) * p.c_in;
  for (int64_t kh = 0; kh < p.kh; ++kh)
    for (int64_t kw = 0; kw < p.kw; ++kw)
      for (int64_t c = 0; c < ci; ++c) w.elements.push_back(kh * p.dilation * w.row_floats + kw * p.dilation * p.c_in + c);
  w.x = x, w.dy = dy, w.y = p.activation == Activation::relu ? y : nullptr;

  const int64_t fitting = (kStripFloats - (w.span - p.stride) * w.row_floats) / (w.row_floats * p.stride);
  const int64_t strip_rows = std::clamp<int64_t>(std::min(fitting, kPanelFloats / (layout.panel * ow)), 1, oh);
  const int64_t strips = (oh + strip_rows - 1) / strip_rows, units = p.n * strips;
  for (int64_t r = 0; r < strip_rows; ++r) w.runs.push_back({r * p.stride * w.row_floats, ow});

  const int64_t padded = layout.padded(w.out_group), patch = w.patch(), size = p.groups * patch * padded;
  const int64_t parts = std::min(units, std::clamp<int64_t>(kPartsFloats / size, 1, kTasks));
  const int64_t panels = layout.count(w.out_group) * p.groups, shares = std::min(panels, (kTasks + parts - 1) / parts);
  const int workers = context.pool().size();
  const int64_t strip_size = w.source.in_place() ? 0 : ((strip_rows - 1) * p.stride + w.span) * w.row_floats;
  const int64_t dy_size = strip_rows * ow * layout.panel;
  const auto partials = context.scratch<float>(size_t(parts * size));
  const auto sums = context.scratch<float>(size_t(parts * p.groups * padded));
  const auto strip = context.scratch<float>(size_t(workers * strip_size));
  const auto packed = context.scratch<float>(size_t(workers * dy_size));
  const auto a = context.scratch<const float*>(size_t(workers * patch));
  const auto c = context.scratch<float*>(size_t(workers * patch));
  context.pool().parallel_for(parts * shares, [&](int64_t t, int worker) {
    const int64_t part = t / shares, share = t % shares, first = units * part / parts, last = units * (part + 1) / parts;
    const WgradBuffers buffers{strip.get() + worker * strip_size, packed.get() + worker * dy_size, a.get() + worker * patch,
                               c.get() + worker * patch};
    for (int64_t u = first; u < last; ++u) {
      const int64_t row = u % strips * strip_rows;
      HWY_DYNAMIC_DISPATCH(WgradStrip)(w, u / strips, row, std::min(strip_rows, oh - row), panels * share / shares,
                                       panels * (share + 1) / shares, u == first, partials.get() + part * size,
                                       sums.get() + part * p.groups * padded, buffers);
    }
  });
  context.pool().parallel_range(patch, 64, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(WgradReduce)(w, dweight, partials.get(), parts, size, begin, end);
  });
  for (int64_t o = 0; dbias && o < p.c_out; ++o) {
    const int64_t at = o / w.out_group * padded + o % w.out_group;
    dbias[o] = sums[size_t(at)];
    for (int64_t part = 1; part < parts; ++part) dbias[o] += sums[size_t(part * p.groups * padded + at)];
  }
}

GRAFT_KERNEL(conv2d, wgrad, cpu, float, Conv2dWgrad);

}  // namespace graft::cpu
#endif
