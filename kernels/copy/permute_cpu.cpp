// Every permutation is, for each setting of the other axes, the transposition of a matrix: of the axis that is
// innermost in y and the one that is innermost in x. It runs in tiles that stay in L1; where both are one axis, rows
// are copied.
#include <algorithm>
#include <cstring>

#include "kernels/common/registry.h"
#include "kernels/copy/permute.h"

namespace graft::cpu {
namespace {

constexpr int64_t kTile = 32;  // 32 x 32 floats read and written: 8 KB

}  // namespace

void permute_forward(Context& context, float* y, const float* x, const PermuteParams& p) {
  size_t across = 5;  // the axis of y that is innermost in x
  for (size_t d = 0; d < 5; ++d)
    if (p.dims[d] > 1 && p.strides[d] == 1) across = d;
  std::array<int64_t, 6> y_strides;
  for (int64_t d = 5, n = 1; d >= 0; n *= p.dims[size_t(d--)]) y_strides[size_t(d)] = n;
  const int64_t columns = p.dims[5], rows = across == 5 ? 1 : p.dims[across];
  const int64_t bands = (rows + kTile - 1) / kTile;
  int64_t others = 1;
  for (size_t d = 0; d < 5; ++d)
    if (d != across) others *= p.dims[d];
  if (others * rows * columns == 0) return;
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / (std::min(rows, kTile) * columns));
  context.pool().parallel_range(others * bands, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t row0 = task % bands * kTile, row1 = std::min(rows, row0 + kTile);
      const float* from = x;
      float* to = y;
      for (int64_t d = 4, rest = task / bands; d >= 0; --d) {
        if (size_t(d) == across) continue;
        const int64_t i = rest % p.dims[size_t(d)];
        rest /= p.dims[size_t(d)];
        from += i * p.strides[size_t(d)];
        to += i * y_strides[size_t(d)];
      }
      if (across == 5 && p.strides[5] == 1) {
        std::memcpy(to, from, size_t(columns) * sizeof(float));
        continue;
      }
      const int64_t x_row = across == 5 ? 0 : p.strides[across], y_row = y_strides[across];
      for (int64_t column0 = 0; column0 < columns; column0 += kTile)
        for (int64_t r = row0; r < row1; ++r)
          for (int64_t c = column0; c < std::min(columns, column0 + kTile); ++c)
            to[r * y_row + c] = from[r * x_row + c * p.strides[5]];
    }
  });
}

GRAFT_KERNEL(permute, forward, cpu, float, PermuteForward);

}  // namespace graft::cpu
