// Kernels over the columns of x[rows, C], 16 bytes of adjacent channels a thread: the layout of channels-last batch norm.
//
// A block of 256 threads takes a tile of up to eight 16-byte vectors across (a line of 128 bytes) and the other threads down;
// each thread then owns kRows rows of one vector, what belongs to its channels it reads once. Few channels: fewer vectors
// across, more rows down. Sums down a column: in the thread, by shuffles in the warp, by shared memory in the block, and over
// blocks by a second launch; all in an order that the shape fixes.
#pragma once
#include "kernels/common/vectors.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// How x[rows, C] is cut; C a multiple of kWidth.
struct ColumnCut {
  int64_t rows, channels, tiles, chunks, chunk_rows;
  int across;  // vectors of a tile: 1, 2, 4 or 8
  ColumnCut(int64_t rows_, int64_t channels_, int width, int rows_of_thread) : rows(rows_), channels(channels_) {
    across = 8;
    while (across > 1 && across * width > channels) across /= 2;
    tiles = ceil_div(channels, across * width);
    chunk_rows = int64_t(kThreads / across) * rows_of_thread;
    chunks = ceil_div(rows, chunk_rows);
  }
  int64_t blocks() const { return tiles * chunks; }
  __device__ int64_t rows_of(int64_t chunk) const { return chunk + 1 < chunks ? chunk_rows : rows - chunk * chunk_rows; }
};

// This thread's place: channels [c, c + width), rows row, row + step, .. < end. Nothing where c >= C.
struct ColumnPlace {
  int64_t c, channels, chunk, begin, row, end;
  int step;
  __device__ ColumnPlace(const ColumnCut& cut, int width) {
    const int lane = int(threadIdx.x) % cut.across, down = int(threadIdx.x) / cut.across;
    c = (blockIdx.x % cut.tiles * cut.across + lane) * width;
    chunk = blockIdx.x / cut.tiles;
    begin = chunk * cut.chunk_rows;
    end = begin + cut.chunk_rows < cut.rows ? begin + cut.chunk_rows : cut.rows;
    step = kThreads / cut.across;
    row = begin + down;
    channels = cut.channels;
    if (c >= channels) end = row;
  }
  __device__ bool has(int k) const { return row + k * step < end; }  // the thread's row k
  __device__ int64_t offset(int k) const { return (row + k * step) * channels + c; }
};

template <int kWidth>
struct ColumnSums {
  float warp[kThreads / 32][8 * kWidth];
};
// v of all threads of a column, added up; the same in every thread.
template <int kWidth>
__device__ void add_columns(float (&v)[kWidth], int across, ColumnSums<kWidth>& s) {
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, column = lane % across * kWidth;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    for (int d = 16; d >= across; d /= 2) v[j] += __shfl_xor_sync(kFullWarp, v[j], d);
    if (lane < across) s.warp[warp][column + j] = v[j];
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    v[j] = 0;
    for (int w = 0; w < kThreads / 32; ++w) v[j] += s.warp[w][column + j];
  }
  __syncthreads();  // before the next sum writes
}

// The thread's rows in registers, all loaded before the first is used.
template <int kRows, class T>
struct ColumnRows {
  float v[kRows][kVector<T>];
  __device__ ColumnRows(const T* x, const ColumnPlace& at) {
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (at.has(k)) load<kVector<T>>(v[k], x + at.offset(k));
  }
  // f(value, j) for the values of row k in the thread's channels j.
  template <class F>
  __device__ void each(int k, F f) {
#pragma unroll
    for (int j = 0; j < kVector<T>; ++j) f(v[k][j], j);
  }
};

// What belongs to the thread's channels: null, and a thread without rows, gives `absent`.
template <int kWidth>
__device__ void load_channels(float (&v)[kWidth], const float* p, const ColumnPlace& at, float absent) {
  if (p && at.has(0)) return load<kWidth>(v, p + at.c);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) v[j] = absent;
}

// Mean and sum of squares about it of each chunk's rows: partial[chunk][2][C]. The rows are read once: the mean that the squares
// are taken about is the chunk's own, and merging chunks corrects for it (Chan, Golub & LeVeque 1979) without cancellation.
constexpr int kStatisticsRows = 8;
template <class T>
__global__ void __launch_bounds__(kThreads) column_statistics(float* partial, const T* x, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  auto& s = shared<ColumnSums<kWidth>>();
  const ColumnPlace at(cut, kWidth);
  ColumnRows<kStatisticsRows, T> rows(x, at);
  float mean[kWidth] = {}, squares[kWidth] = {};
#pragma unroll
  for (int k = 0; k < kStatisticsRows; ++k)
    if (at.has(k)) rows.each(k, [&](float v, int j) { mean[j] += v; });
  add_columns(mean, cut.across, s);
  const float n = float(cut.rows_of(at.chunk));
#pragma unroll
  for (int j = 0; j < kWidth; ++j) mean[j] /= n;
#pragma unroll
  for (int k = 0; k < kStatisticsRows; ++k)
    if (at.has(k)) rows.each(k, [&](float v, int j) { squares[j] += (v - mean[j]) * (v - mean[j]); });
  add_columns(squares, cut.across, s);
  if (threadIdx.x >= unsigned(cut.across) || at.c >= cut.channels) return;
  float* out = partial + 2 * at.chunk * cut.channels + at.c;
  store<kWidth>(out, mean);
  store<kWidth>(out + cut.channels, squares);
}

struct Moments {
  float n = 0, mean = 0, squares = 0;
  __device__ void merge(const Moments& o) {
    if (o.n == 0.0f) return;
    const float all = n + o.n, apart = o.mean - mean;
    squares += o.squares + apart * apart * (n * o.n / all);
    mean += apart * (o.n / all);
    n = all;
  }
};

// store(c, moments of channel c over all rows); 32 channels x 8 chunks a block.
template <class Store>
__global__ void __launch_bounds__(kThreads) merge_statistics(const float* partial, ColumnCut cut, Store store) {
  struct Smem {
    float n[8][32], mean[8][32], squares[8][32];
  };
  auto& s = shared<Smem>();
  const int lane = int(threadIdx.x) % 32, part = int(threadIdx.x) / 32;
  const int64_t c = blockIdx.x * int64_t{32} + lane;
  Moments m;
  if (c < cut.channels)
    for (int64_t k = part; k < cut.chunks; k += 8)
      m.merge({float(cut.rows_of(k)), partial[2 * k * cut.channels + c], partial[(2 * k + 1) * cut.channels + c]});
  s.n[part][lane] = m.n, s.mean[part][lane] = m.mean, s.squares[part][lane] = m.squares;
  __syncthreads();
  if (part != 0 || c >= cut.channels) return;
  for (int p = 1; p < 8; ++p) m.merge({s.n[p][lane], s.mean[p][lane], s.squares[p][lane]});
  store(c, m);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
