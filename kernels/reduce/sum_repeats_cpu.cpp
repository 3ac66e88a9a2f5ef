#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/sum_repeats_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

#include "kernels/common/simd.h"
#include "kernels/elementwise/row_walk.h"
#include "kernels/reduce/sum_repeats.h"

#ifndef GRAFT_SUM_REPEATS_PLAN
#define GRAFT_SUM_REPEATS_PLAN
namespace graft::cpu {

// How the work is cut. A task sums one chunk into one stretch of one row of partial sums.
struct SumPlan {
  static constexpr int64_t kPiece = 1 << 13;

  explicit SumPlan(const SumRepeatsParams& p) : inner_kept(p.out_strides[3] != 0) {
    for (size_t d = 4; d-- > 0;) {
      x_strides[d] = d == 3 ? 1 : x_strides[d + 1] * p.dims[d + 1];
      if (d == 3) continue;
      (p.out_strides[d] ? kept_dims : sum_dims)[d] = p.dims[d];
    }
    kept = kept_dims[0] * kept_dims[1] * kept_dims[2];
    rows = sum_dims[0] * sum_dims[1] * sum_dims[2];
    pieces = (p.dims[3] + kPiece - 1) / kPiece;
    width = inner_kept ? p.dims[3] : 1;
    units = inner_kept ? rows : rows * pieces;
    chunk = std::max<int64_t>(1, kPiece / p.dims[3]);
    chunks = (units + chunk - 1) / chunk;
    tasks = kept * chunks * (inner_kept ? pieces : 1);
    grain = std::max<int64_t>(1, 2 * kPiece / (std::min(chunk, units) * std::min(p.dims[3], kPiece)));
  }

  bool inner_kept;
  std::array<int64_t, 4> x_strides{}, kept_dims{1, 1, 1, 1}, sum_dims{1, 1, 1, 1};
  int64_t kept, rows;     // settings of the kept outer axes, and of the summed ones
  int64_t pieces, width;  // of the innermost axis; of a row of out
  int64_t units;          // rows or pieces of rows that are summed into one output row
  int64_t chunk, chunks;  // units in a chunk
  int64_t tasks, grain;
};

}  // namespace graft::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

template <class Lanes>
HWY_INLINE VF term(Lanes lanes, const float* x, const float* f, bool f_repeated, int64_t i) {
  const VF v = lanes.load(x + i);
  if (!f) return v;
  return hn::Mul(v, f_repeated ? hn::Set(F32(), *f) : lanes.load(f + i));
}

void SumTasks(float* sums, const float* x, const float* f, const SumRepeatsParams& p, const SumPlan& plan, float divisor,
              int64_t first, int64_t last) {
  const F32 d;
  const VF by = hn::Set(d, divisor);
  const int64_t n = p.dims[3];
  const bool f_repeated = p.factor_strides[3] == 0;
  for (int64_t task = first; task < last; ++task) {
    const int64_t stretch = plan.inner_kept ? task % plan.pieces : 0, rest = plan.inner_kept ? task / plan.pieces : task;
    const int64_t kept = rest / plan.chunks, begin = rest % plan.chunks * plan.chunk,
                  end = std::min(plan.units, begin + plan.chunk);
    const RowWalk base(plan.kept_dims, plan.x_strides, p.factor_strides, kept);
    float* out = sums + rest * plan.width;
    if (plan.inner_kept) {
      const int64_t j = stretch * SumPlan::kPiece, size = std::min(SumPlan::kPiece, n - j);
      RowWalk row(plan.sum_dims, plan.x_strides, p.factor_strides, begin);
      for (int64_t unit = begin; unit < end; ++unit, row.next()) {
        const float* px = x + base.a + row.a + j;
        const float* pf = f ? f + base.b + row.b + (f_repeated ? 0 : j) : nullptr;
        const bool is_first = unit == begin, is_last = unit == end - 1;
        for_vectors(size, [&](int64_t i, auto lanes) {
          VF v = term(lanes, px, pf, f_repeated, i);
          if (!is_first) v = hn::Add(lanes.load(out + j + i), v);
          lanes.store(is_last ? hn::Div(v, by) : v, out + j + i);
        });
      }
    } else {
      VF sum = hn::Zero(d);
      RowWalk row(plan.sum_dims, plan.x_strides, p.factor_strides, begin / plan.pieces);
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t j = unit % plan.pieces * SumPlan::kPiece, size = std::min(SumPlan::kPiece, n - j);
        const float* px = x + base.a + row.a + j;
        const float* pf = f ? f + base.b + row.b + (f_repeated ? 0 : j) : nullptr;
        for_vectors(size, [&](int64_t i, auto lanes) { sum = hn::Add(sum, term(lanes, px, pf, f_repeated, i)); });
        if (unit % plan.pieces == plan.pieces - 1) row.next();
      }
      *out = hn::GetLane(hn::SumOfLanes(d, sum)) / divisor;
    }
  }
}

// out[kept, width] = partial[kept, chunks, width] summed over the chunks in order, for places [first, last) of out.
void SumChunks(float* out, const float* partial, int64_t chunks, int64_t width, float divisor, int64_t first, int64_t last) {
  const F32 d;
  for (int64_t i = first; i < last;) {
    const int64_t row = i / width, j = i % width, size = std::min(last - i, width - j);
    const float* from = partial + row * chunks * width + j;
    for_vectors(size, [&](int64_t k, auto lanes) {
      VF sum = lanes.load(from + k);
      for (int64_t c = 1; c < chunks; ++c) sum = hn::Add(sum, lanes.load(from + c * width + k));
      lanes.store(hn::Div(sum, hn::Set(d, divisor)), out + i + k);
    });
    i += size;
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(SumTasks);
HWY_EXPORT(SumChunks);

void sum_repeats(Context& context, float* out, const float* x, const float* f, const SumRepeatsParams& p) {
  int64_t n = 1, outputs = 1;
  for (size_t d = 0; d < 4; ++d) {
    n *= p.dims[d];
    outputs *= p.out_strides[d] ? p.dims[d] : 1;
  }
  if (n == 0) return void(std::fill_n(out, outputs, 0.0f));
  const SumPlan plan(p);
  const auto run = [&](float* sums, float divisor) {
    context.pool().parallel_range(plan.tasks, plan.grain, [&](int64_t first, int64_t last) {
      HWY_DYNAMIC_DISPATCH(SumTasks)(sums, x, f, p, plan, divisor, first, last);
    });
  };
  if (plan.chunks == 1) return run(out, float(p.divisor));
  const auto partial = context.scratch<float>(size_t(plan.kept * plan.chunks * plan.width));
  run(partial.get(), 1);
  context.pool().parallel_range(outputs, std::max<int64_t>(1, 2 * SumPlan::kPiece / plan.chunks), [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(SumChunks)(out, partial.get(), plan.chunks, plan.width, float(p.divisor), first, last);
  });
}

}  // namespace graft::cpu
#endif
