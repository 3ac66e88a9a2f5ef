#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/binary_cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// (after the two above, once per target)
#include <algorithm>

#include "kernels/common/registry.h"
#include "kernels/common/simd.h"
#include "kernels/elementwise/binary.h"
#include "kernels/elementwise/row_walk.h"
#include "kernels/reduce/sum_repeats.h"

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {

template <class F>
HWY_INLINE void combine_row(float* y, const float* a, const float* b, int64_t n, bool a_repeated, bool b_repeated, F f) {
  const F32 d;
  if (a_repeated)
    map_floats(
        y, n, [&, va = hn::Set(d, *a)](VF vb) { return f(va, vb); }, b);
  else if (b_repeated)
    map_floats(
        y, n, [&, vb = hn::Set(d, *b)](VF va) { return f(va, vb); }, a);
  else map_floats(y, n, f, a, b);
}

// Pieces [first, last): row by row, each row in pieces of `piece` elements.
void Combine(float* y, const float* a, const float* b, const BinaryParams& p, int64_t piece, int64_t first, int64_t last) {
  const int64_t n = p.dims[3], pieces = (n + piece - 1) / piece;
  const bool a_repeated = p.a_strides[3] == 0, b_repeated = p.b_strides[3] == 0;
  RowWalk row(p.dims, p.a_strides, p.b_strides, first / pieces);
  for (int64_t t = first; t < last; ++t) {
    const int64_t begin = t % pieces * piece, size = std::min(piece, n - begin);
    float* to = y + t / pieces * n + begin;
    const float* pa = a + row.a + (a_repeated ? 0 : begin);
    const float* pb = b + row.b + (b_repeated ? 0 : begin);
    const auto run = [&](auto f) { combine_row(to, pa, pb, size, a_repeated, b_repeated, f); };
    switch (p.kind) {
      case Binary::add: run([](VF u, VF v) { return hn::Add(u, v); }); break;
      case Binary::sub: run([](VF u, VF v) { return hn::Sub(u, v); }); break;
      case Binary::mul: run([](VF u, VF v) { return hn::Mul(u, v); }); break;
    }
    if (t % pieces == pieces - 1) row.next();
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Combine);

constexpr int64_t kPiece = 1 << 14;

void binary_forward(Context& context, float* y, const float* a, const float* b, const BinaryParams& p) {
  const int64_t rows = p.dims[0] * p.dims[1] * p.dims[2], n = p.dims[3], pieces = (n + kPiece - 1) / kPiece;
  if (rows * n == 0) return;
  context.pool().parallel_range(rows * pieces, std::max<int64_t>(1, kPiece / n), [&](int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(Combine)(y, a, b, p, kPiece, first, last);
  });
}

void binary_backward(Context& context, float* da, float* db, const float* dy, const float* a, const float* b,
                     const BinaryParams& p) {
  const bool mul = p.kind == Binary::mul;
  if (da) sum_repeats(context, da, dy, mul ? b : nullptr, {p.dims, p.a_strides, p.b_strides, 1});
  if (db) sum_repeats(context, db, dy, mul ? a : nullptr, {p.dims, p.b_strides, p.a_strides, p.kind == Binary::sub ? -1.0 : 1.0});
}

GRAFT_KERNEL(binary, forward, cpu, float, BinaryForward);
GRAFT_KERNEL(binary, backward, cpu, float, BinaryBackward);

}  // namespace graft::cpu
#endif
