#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/gemm_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/tile_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

inline constexpr int64_t kPackedK = 16;

PanelLayout Layout() { return kLayout; }

// Panels [first, last) of columns [0, n) of b, all k. Where b has rows, some k at a time: they are read by more than a line.
void GemmPack(float* out, const float* b, const Gemm& g, int64_t n, int64_t first, int64_t last) {
  const int64_t step = g.b_col == 1 ? kPackedK : std::max<int64_t>(1, g.k);
  for (int64_t k = 0; k < g.k; k += step)
    for (int64_t p = first; p < last; ++p) {
      const int64_t width = kLayout.width(n, p);
      pack_panel(out + p * kPanel * g.k + k * width, b + p * kPanel * g.b_col + k * g.b_k, g.b_k, g.b_col, std::min(step, g.k - k),
                 kLayout.cols(n, p), width);
    }
}

// Rows [0, rows) of c for panels [first, last) of n columns; a_block[kBlockK * kGemmRows] is for a transposed a.
void GemmBlock(const Gemm& g, const float* a, const float* packed, float* c, const float* bias, int64_t rows, int64_t n,
               int64_t first, int64_t last, float* a_block) {
  const float* a_rows[kGemmRows];
  float* c_rows[kGemmRows];
  for (int64_t r = 0; r < rows; ++r) c_rows[r] = c + r * g.c_row;
  // In place, every k of a tile of a transposed a takes a cache line for a few numbers: right for a panel or two only.
  const bool in_place = g.a_k == 1 || last - first <= 2;
  const bool stream =
      g.k <= kBlockK && streams(g.c, g.c_row, g.batch * g.m * g.n, int64_t(kLanes)) && g.c_batch % int64_t(kLanes) == 0;
  const int64_t ahead = g.a_k == 1 && g.a_row == g.k && g.k <= kBlockK ? kTileRows * g.k : 0;  // of the next tile
  int64_t k0 = 0;
  do {  // once for k = 0, too: zeros
    const int64_t count = std::min(kBlockK, g.k - k0);
    const bool last_block = k0 + count == g.k;
    if (!in_place)
      for (int64_t k = 0; k < count; ++k)
        for (int64_t r = 0; r < rows; r += kTileRows)
          for (int64_t i = 0; i < std::min<int64_t>(kTileRows, rows - r); ++i)
            a_block[r * kBlockK + k * kTileRows + i] = a[(k0 + k) * g.a_k + r + i];
    for (int64_t r = 0; r < rows; ++r)
      a_rows[r] = in_place ? a + r * g.a_row + k0 * g.a_k : a_block + r / kTileRows * kTileRows * kBlockK + r % kTileRows;
    const Run run{0, count};
    for (int64_t p = first; p < last; ++p) {
      const int64_t width = kLayout.width(n, p);
      compute_panel(rows, Tile{a_rows, 0, in_place ? g.a_k : kTileRows, &run, 1, packed + p * kPanel * g.k + k0 * width, width,
                               c_rows, p * kPanel, kLayout.cols(n, p), k0 > 0, last_block && bias ? bias + p * kPanel : nullptr,
                               last_block && g.relu, p == first && ahead ? a_rows[0] + ahead : nullptr, ahead, stream});
    }
    k0 += count;
  } while (k0 < g.k);
  if (stream) hwy::FlushStream();
}

void ReluGradient(float* out, const float* dy, const float* y, int64_t n) {
  map_floats(
      out, n, [](VF g, VF v) { return hn::IfThenElse(hn::Le(v, hn::Zero(F32())), hn::Zero(F32()), g); }, dy, y);
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
constexpr int64_t kTasks = 32;              // enough to balance many threads
constexpr int64_t kPackedPanels = 8;        // packed in one task
}  // namespace

PanelLayout panel_layout() { return HWY_DYNAMIC_DISPATCH(Layout)(); }

void gemm(Context& context, const Gemm& g) {
  if (g.batch * g.m * g.n == 0) return;
  const PanelLayout layout = panel_layout();
  const int64_t k = std::max<int64_t>(g.k, 1), row_blocks = (g.m + kGemmRows - 1) / kGemmRows;
  const int64_t columns = std::max<int64_t>(1, kPackedFloats / (k * layout.panel)) * layout.panel;  // at a time
  const int64_t chunk = std::min(g.n, columns), size = layout.padded(chunk) * k;
  const int64_t items = std::min(g.batch, std::max<int64_t>(1, kPackedFloats / size));
  const int64_t smallest = std::max<int64_t>(1, kTaskProducts / (std::min(g.m, kGemmRows) * k * layout.panel));  // panels a task

  const auto packed = context.scratch<float>(size_t(items * size));
  const int64_t a_size = g.a_k == 1 ? 0 : kGemmRows * kBlockK;
  const auto a_blocks = context.scratch<float>(size_t(a_size * context.pool().size()));
  for (int64_t s0 = 0; s0 < g.batch; s0 += items)
    for (int64_t n0 = 0; n0 < g.n; n0 += chunk) {
      const int64_t s_count = std::min(items, g.batch - s0), n = std::min(chunk, g.n - n0), panels = layout.count(n);
      const int64_t packs = (panels + kPackedPanels - 1) / kPackedPanels;
      context.pool().parallel_for(s_count * packs, [&](int64_t t, int) {
        const int64_t s = t / packs, first = t % packs * kPackedPanels;
        HWY_DYNAMIC_DISPATCH(GemmPack)
        (packed.get() + s * size, g.b + (s0 + s) * g.b_batch + n0 * g.b_col, g, n, first, std::min(first + kPackedPanels, panels));
      });
      const int64_t group = std::max(smallest, s_count * row_blocks * panels / kTasks), groups = (panels + group - 1) / group;
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
