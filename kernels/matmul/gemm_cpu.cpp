#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/gemm_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/tile_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

PanelLayout Layout() { return kLayout; }

// Panel `panel` of columns [0, n) of b, all k.
void GemmPack(float* out, const float* b, const Gemm& g, int64_t n, int64_t panel) {
  pack_panel(out + panel * kPanel * g.k, b + panel * kPanel * g.b_col, g.b_k, g.b_col, g.k, kLayout.cols(n, panel),
             kLayout.width(n, panel));
}

// Rows [0, rows) of c for panels [first, last) of n columns; a_block[kBlockK * rows] is for a transposed a.
void GemmBlock(const Gemm& g, const float* a, const float* packed, float* c, const float* bias, int64_t rows, int64_t n, int64_t first,
           int64_t last, float* a_block) {
  const float* a_rows[kGemmRows];
  float* c_rows[kGemmRows];
  for (int64_t r = 0; r < rows; ++r) c_rows[r] = c + r * g.c_row;
  int64_t k0 = 0;
  do {  // once for k = 0, too: zeros
    const int64_t count = std::min(kBlockK, g.k - k0);
    const bool last_block = k0 + count == g.k;
    if (g.a_k != 1)  // a column at a time would take a cache line for every few numbers
      for (int64_t k = 0; k < count; ++k) std::copy_n(a + (k0 + k) * g.a_k, rows, a_block + k * rows);
    for (int64_t r = 0; r < rows; ++r) a_rows[r] = g.a_k == 1 ? a + r * g.a_row + k0 : a_block + r;
    const Run run{0, count};
    for (int64_t p = first; p < last; ++p) {
      const int64_t width = kLayout.width(n, p);
      compute_panel(rows, Tile{a_rows, 0, g.a_k == 1 ? 1 : rows, &run, 1, packed + p * kPanel * g.k + k0 * width, width, c_rows,
                               p * kPanel, kLayout.cols(n, p), k0 > 0, last_block && bias ? bias + p * kPanel : nullptr,
                               last_block && g.relu});
    }
    k0 += count;
  } while (k0 < g.k);
}

void ReluGradient(float* out, const float* dy, const float* y, int64_t n) {
  map_floats(out, n, [](VF g, VF v) { return hn::IfThenElse(hn::Le(v, hn::Zero(F32())), hn::Zero(F32()), g); }, dy, y);
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Layout);
HWY_EXPORT(GemmPack);
HWY_EXPORT(GemmBlock);
HWY_EXPORT(ReluGradient);

namespace {
constexpr int64_t kPackedFloats = 1 << 19;  // b packed at a time: 2 MB
constexpr int64_t kTaskProducts = 1 << 17;  // at least this many multiply-adds a task: some microseconds
}  // namespace

PanelLayout panel_layout() { return HWY_DYNAMIC_DISPATCH(Layout)(); }

void gemm(Context& context, const Gemm& g) {
  if (g.batch * g.m * g.n == 0) return;
  const PanelLayout layout = panel_layout();
  const int64_t k = std::max<int64_t>(g.k, 1), row_blocks = (g.m + kGemmRows - 1) / kGemmRows;
  const int64_t columns = std::max<int64_t>(1, kPackedFloats / (k * layout.panel)) * layout.panel;  // at a time
  const int64_t chunk = std::min(g.n, columns), size = layout.padded(chunk) * k;
  const int64_t items = std::min(g.batch, std::max<int64_t>(1, kPackedFloats / size));
  const int64_t group = std::max<int64_t>(1, kTaskProducts / (std::min(g.m, kGemmRows) * k * layout.panel));  // panels a task

  const auto packed = context.scratch<float>(size_t(items * size));
  const int64_t a_size = g.a_k == 1 ? 0 : kGemmRows * kBlockK;
  const auto a_blocks = context.scratch<float>(size_t(a_size * context.pool().size()));
  for (int64_t s0 = 0; s0 < g.batch; s0 += items)
    for (int64_t n0 = 0; n0 < g.n; n0 += chunk) {
      const int64_t s_count = std::min(items, g.batch - s0), n = std::min(chunk, g.n - n0), panels = layout.count(n);
      const int64_t groups = (panels + group - 1) / group;
      context.pool().parallel_for(s_count * groups, [&](int64_t t, int) {
        const int64_t s = t / groups, first = t % groups * group;
        for (int64_t p = first; p < std::min(first + group, panels); ++p)
          HWY_DYNAMIC_DISPATCH(GemmPack)(packed.get() + s * size, g.b + (s0 + s) * g.b_batch + n0 * g.b_col, g, n, p);
      });
      context.pool().parallel_for(s_count * row_blocks * groups, [&](int64_t t, int worker) {
        const int64_t s = t / (row_blocks * groups), row = t / groups % row_blocks * kGemmRows, first = t % groups * group;
        HWY_DYNAMIC_DISPATCH(GemmBlock)
        (g, g.a + (s0 + s) * g.a_batch + row * g.a_row, packed.get() + s * size, g.c + (s0 + s) * g.c_batch + row * g.c_row + n0,
         g.bias ? g.bias + n0 : nullptr, std::min(kGemmRows, g.m - row), n, first, std::min(first + group, panels),
         a_blocks.get() + worker * a_size);
      });
    }
}

void relu_gradient(Context& context, float* out, const float* dy, const float* y, int64_t n) {
  context.pool().parallel_range(n, 1 << 14, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ReluGradient)(out + begin, dy + begin, y + begin, end - begin);
  });
}

}  // namespace graft::cpu
#endif
