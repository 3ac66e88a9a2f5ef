// Kernels over the columns of x[rows, C], 16 bytes of adjacent channels a thread: the layout of channels-last batch norm.
//
// A block of 256 threads takes a tile of up to eight 16-byte vectors across (a line of 128 bytes) and the other threads down;
// each thread then owns kRows rows of one vector, what belongs to its channels it reads once. Few channels: fewer vectors
// across, more rows down. Sums down a column: in the thread, by shuffles in the warp, by shared memory in the block, and over
// blocks by a second launch; all in an order that the shape fixes.
#pragma once
#include <algorithm>

#include "kernels/common/vectors.h"
#include "kernels/reduce/sums.cuh"

namespace graft::GRAFT_GPU {
namespace {

// How x[rows, C] is cut; C a multiple of kWidth. By shape alone, so that the same shape gives the same bits on every GPU.
struct ColumnCut {
  int64_t rows, channels, tiles, chunks, chunk_rows;
  int across;  // vectors of a tile: 1, 2, 4 or 8
  ColumnCut(int64_t rows_, int64_t channels_, int width, int64_t rows_of_thread) : rows(rows_), channels(channels_) {
    across = 8;
    while (across > 1 && across * width > channels) across /= 2;
    tiles = ceil_div(channels, across * width);
    chunk_rows = int64_t(kThreads / across) * rows_of_thread;
    chunks = ceil_div(rows, chunk_rows);
  }
  // For sums: no more chunks than it takes to fill a GPU, so that the second launch has little to add up.
  static ColumnCut for_sums(int64_t rows, int64_t channels, int width) {
    constexpr int64_t kBlocks = 132 * 6, kLeastRows = 4;  // two waves of three blocks a multiprocessor
    const ColumnCut one(rows, channels, width, 1);
    return {rows, channels, width, std::max(kLeastRows, ceil_div(one.chunks, std::max<int64_t>(kBlocks / one.tiles, 1)))};
  }
  int64_t blocks() const { return tiles * chunks; }
  __device__ int64_t rows_of(int64_t chunk) const { return chunk + 1 < chunks ? chunk_rows : rows - chunk * chunk_rows; }
};

// This thread's place: channels [c, c + width) of every step-th of the rows of its chunk. No rows where c >= C.
struct ColumnPlace {
  int64_t c, chunk, start, stride;  // start: the element of the thread's first row that is left; stride: to its next
  int left, step;
  __device__ ColumnPlace(const ColumnCut& cut, int width) {
    const int lane = int(threadIdx.x) % cut.across, down = int(threadIdx.x) / cut.across;
    const unsigned tiles = unsigned(cut.tiles);
    c = int64_t(blockIdx.x % tiles * unsigned(cut.across) + unsigned(lane)) * width;
    chunk = blockIdx.x / tiles;
    step = kThreads / cut.across;
    left = c < cut.channels ? int(cut.rows_of(chunk)) - down : 0;
    start = (chunk * cut.chunk_rows + down) * cut.channels + c;
    stride = step * cut.channels;
  }
  __device__ bool has(int k) const { return k * step < left; }  // the thread's row k
  __device__ int64_t offset(int k) const { return start + k * stride; }
  __device__ void advance(int rows) { start += rows * stride, left -= rows * step; }
};
template <int kWidth>
struct Floats {
  float v[kWidth];
};
// Three blocks a multiprocessor: 96 KiB under way in it.
constexpr int kColumnBlocks = 3;

template <int kWidth>
struct ColumnSums {
  float warp[kThreads / 32][8 * kWidth];
};
// v of all threads of a column, added up; the same in every thread.
template <int kWidth>
__device__ void add_columns(float (&v)[kWidth], int across, ColumnSums<kWidth>& s) {
  const int thread = int(threadIdx.x), lane = thread % 32, column = lane % across * kWidth;
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    for (int d = 16; d >= across; d /= 2) v[j] += __shfl_xor_sync(kFullWarp, v[j], d);
    if (lane < across) s.warp[thread / 32][column + j] = v[j];
  }
  __syncthreads();
  if (thread < across * kWidth) {
    float sum = s.warp[0][thread];
#pragma unroll
    for (int w = 1; w < kThreads / 32; ++w) sum += s.warp[w][thread];
    s.warp[0][thread] = sum;
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kWidth; ++j) v[j] = s.warp[0][column + j];
  __syncthreads();  // before the next sum writes
}

// The thread's rows in registers, all loaded before the first is used.
template <int kRows, class T>
struct ColumnRows {
  uint4 packed[kRows];
  __device__ ColumnRows(const T* x, const ColumnPlace& at) {
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (at.has(k)) packed[k] = load_packed(x + at.offset(k));
  }
  __device__ Floats<kVector<T>> row(int k) const {
    Floats<kVector<T>> f;
    unpack<T>(f.v, packed[k]);
    return f;
  }
};

// What belongs to the thread's channels: null, and a thread without rows, gives `absent`.
template <int kWidth>
__device__ void load_channels(float (&v)[kWidth], const float* p, const ColumnPlace& at, float absent) {
  if (p && at.has(0)) return load<kWidth>(v, p + at.c);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) v[j] = absent;
}

// Mean and sum of squares about it of each chunk's rows: partial[chunk][2][C]. The rows are read once: a thread updates its mean
// and its squares about it row by row (Welford 1962); merging threads, then chunks, corrects for means that lie apart (Chan, Golub
// & LeVeque 1979). Neither cancels.
constexpr int kStatisticsRows = 8;
template <class T>
__global__ void __launch_bounds__(kThreads, kColumnBlocks) column_statistics(float* partial, const T* x, ColumnCut cut) {
  constexpr int kWidth = kVector<T>;
  auto& s = shared<ColumnSums<kWidth>>();
  ColumnPlace at(cut, kWidth);
  float n = 0, mean[kWidth] = {}, squares[kWidth] = {};
#pragma unroll 1
  for (; at.has(0); at.advance(kStatisticsRows)) {
    const ColumnRows<kStatisticsRows, T> rows(x, at);
#pragma unroll
    for (int k = 0; k < kStatisticsRows; ++k) {
      if (!at.has(k)) break;
      n += 1;
      const float share = 1.0f / n;
      const auto value = rows.row(k);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        const float apart = value.v[j] - mean[j];
        mean[j] = fmaf(apart, share, mean[j]);
        squares[j] = fmaf(apart, value.v[j] - mean[j], squares[j]);
      }
    }
  }
  const float all = float(cut.rows_of(at.chunk));
  float chunk[kWidth];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) chunk[j] = mean[j] * (n / all);
  add_columns(chunk, cut.across, s);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) squares[j] += n * (mean[j] - chunk[j]) * (mean[j] - chunk[j]);
  add_columns(squares, cut.across, s);
  if (threadIdx.x >= unsigned(cut.across) || at.c >= cut.channels) return;
  float* out = partial + 2 * at.chunk * cut.channels + at.c;
  store<kWidth>(out, chunk);
  store<kWidth>(out + cut.channels, squares);
}

struct Moments {
  float n = 0, mean = 0, squares = 0;
  __device__ void merge(const Moments& o) {
    if (o.n == 0.0f) return;
    const float share = o.n / (n + o.n), apart = o.mean - mean;
    squares += fmaf(apart * apart, n * share, o.squares);
    mean = fmaf(apart, share, mean);
    n += o.n;
  }
  // Of lanes d apart, in the lower one.
  __device__ void merge_lanes(int d) {
    merge({__shfl_down_sync(kFullWarp, n, d), __shfl_down_sync(kFullWarp, mean, d), __shfl_down_sync(kFullWarp, squares, d)});
  }
};

// store(c, moments of channel c over all rows). A block takes eight channels, which are 32 bytes of a chunk: a lane of a warp one
// channel of one of four chunks; kMergeAtOnce chunks of a thread are under way together.
constexpr int kMergeChannels = 8, kMergeThreads = 1024, kMergeAtOnce = 4;
template <class Store>
__global__ void __launch_bounds__(kMergeThreads) merge_statistics(const float* partial, ColumnCut cut, Store store) {
  struct Smem {
    float n[kMergeThreads / 32][kMergeChannels], mean[kMergeThreads / 32][kMergeChannels],
        squares[kMergeThreads / 32][kMergeChannels];
  };
  auto& s = shared<Smem>();
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32, warps = int(blockDim.x) / 32;
  const int64_t first = blockIdx.x * int64_t{kMergeChannels}, c = first + thread % kMergeChannels,
                step = blockDim.x / kMergeChannels;
  Moments m;
  if (c < cut.channels)
    for (int64_t k = thread / kMergeChannels; k < cut.chunks; k += kMergeAtOnce * step) {
      Moments next[kMergeAtOnce];
#pragma unroll
      for (int i = 0; i < kMergeAtOnce; ++i) {
        const int64_t chunk = k + i * step;
        if (chunk < cut.chunks)
          next[i] = {float(cut.rows_of(chunk)), partial[2 * chunk * cut.channels + c], partial[(2 * chunk + 1) * cut.channels + c]};
      }
#pragma unroll
      for (int i = 0; i < kMergeAtOnce; ++i) m.merge(next[i]);
    }
  m.merge_lanes(16);
  m.merge_lanes(8);
  if (lane < kMergeChannels) s.n[warp][lane] = m.n, s.mean[warp][lane] = m.mean, s.squares[warp][lane] = m.squares;
  __syncthreads();
  // A warp a channel, a lane a warp's share.
  for (int channel = warp; channel < kMergeChannels; channel += warps) {
    m = lane < warps ? Moments{s.n[lane][channel], s.mean[lane][channel], s.squares[lane][channel]} : Moments{};
    for (int d = 16; d > 0; d /= 2) m.merge_lanes(d);
    if (lane == 0 && first + channel < cut.channels) store(first + channel, m);
  }
}
template <class Store>
void launch_merge(Context& context, const float* partial, const ColumnCut& cut, Store store) {
  const int64_t threads = ceil_div(cut.chunks * kMergeChannels, 32) * 32;
  launch_blocks(context, ceil_div(cut.channels, kMergeChannels), int(std::min<int64_t>(threads, kMergeThreads)),
                merge_statistics<Store>, partial, cut, store);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
