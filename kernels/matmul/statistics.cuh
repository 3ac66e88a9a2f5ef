// Mean and variance of each column of a product, for a batch normalisation that follows: the threads that store a tile add up its
// values, as c holds them, and their squares; one launch more adds up the tiles.
//
// var = E[c^2] - mean^2 cancels where |mean| is many deviations. The sums of tiles are added in double, so that only what f32 loses
// within a tile counts: |error of var| <= a 2^-24 E[c^2] = a 2^-24 (1 + (mean / deviation)^2) var, a <= 62 additions on the way of
// a value. In bf16 that is harmless:
//   - Values that share sign and power of two have 8 bits each, their squares 16: sums over up to 256 rows are exact in f32. From a
//     mean of nine deviations on, whatever lies within three of it is such, or in two neighbouring powers: then a bit is missing.
//   - Below, the error is 62 x 2^-24 x 82 = 3e-4 of var at most, where the values themselves are rounded to 4e-3.
//   - In general, rounding c to bf16 moved the normalised values by up to mean / (256 deviations), and this error does by less as
//     long as the mean is below 2000 deviations; bf16 knows two values there.
// A batch normalisation in f32 has no such excuse and reads c again.
#pragma once
#include "kernels/common/vectors.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// What a thread saw of the columns that it stores in every row of its tile.
template <class T, int kWidth>
struct ColumnSums {
  float sum[kWidth] = {}, square[kWidth] = {};
  __device__ void add(const float (&v)[kWidth]) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float stored = to_float(from_float<T>(v[e]));
      sum[e] += stored, square[e] = fmaf(stored, stored, square[e]);
    }
  }
};

// Shared memory in which the threads that share columns of a tile, one a slot, meet: keep(), a barrier, store(). The order of
// the additions is that of the slots.
template <int kTile, int kSlots>
struct ColumnSumsSmem {
  float v[kSlots][2][kTile];

  template <class T, int kWidth>
  __device__ void keep(int slot, int column, const ColumnSums<T, kWidth>& s) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v[slot][0][column + e] = s.sum[e], v[slot][1][column + e] = s.square[e];
  }
  template <class P>
  __device__ void store(const P& p, int g, int m0, int n0, int thread, int threads) const {
    for (int i = thread; i < 2 * kTile; i += threads) {
      const int which = i / kTile, column = i % kTile;
      if (n0 + column >= p.n) continue;
      float total = 0;
      for (int slot = 0; slot < kSlots; ++slot) total += v[slot][which][column];
      p.tile_sums[((int64_t(m0 / kTile) * 2 + which) * p.groups + g) * p.n + n0 + column] = total;
    }
  }
};

// tile_sums[tile][2][columns]
struct TileSums {
  const float* sums;
  int64_t columns;
  __device__ Sums<2, double> operator()(int64_t, int64_t tile, int64_t c) const {
    const float* const s = sums + 2 * tile * columns + c;
    return {{s[0], s[columns]}};
  }
};
// statistics[2][columns]
struct StoreStatistics {
  float* statistics;
  int64_t columns;
  double rows;
  __device__ void operator()(int64_t, int64_t c, const Sums<2, double>& s) const {
    const double mean = s.v[0] / rows, var = s.v[1] / rows - mean * mean;
    statistics[c] = float(mean);
    statistics[columns + c] = var < 0 ? 0.0f : float(var);  // NaN stays
  }
};

// run(tile_sums) and what it keeps of `tiles` tiles added up, of columns with `rows` values. Nothing but run(null) without
// statistics.
template <class Run>
void with_statistics(Context& context, float* statistics, int64_t tiles, int64_t columns, int64_t rows, Run run) {
  const auto tile_sums = device_scratch<float>(context, size_t(statistics ? tiles * 2 * columns : 0));
  run(statistics ? tile_sums.get() : nullptr);
  if (statistics)
    sum_columns(context, 1, tiles, columns, TileSums{tile_sums.get(), columns}, StoreStatistics{statistics, columns, double(rows)});
}

}  // namespace
}  // namespace graft::GRAFT_GPU
