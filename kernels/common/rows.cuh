// Kernels that work on rows: who works on a row together, and the row in their registers.
//
// A row that is read once and kept costs its bytes once, however often the arithmetic needs it (the maximum, the sum, the
// result). A warp holds up to 1024 values and needs no barrier; beyond that a block shares the row, and a number of each warp
// meets in shared memory.
#pragma once
#include "kernels/common/vectors.h"

namespace graft::GRAFT_GPU {
namespace {

struct Warp {
  static constexpr int kSize = 32, kRows = 4;  // rows of one block
  static dim3 block() { return dim3(32, kRows); }
  static __device__ int thread() { return int(threadIdx.x); }
  static __device__ int64_t row() { return int64_t(blockIdx.x) * kRows + threadIdx.y; }
  static __device__ int64_t rows() { return int64_t(gridDim.x) * kRows; }
  static __device__ float sum(float v) { return warp_sum(v); }
  static __device__ float max(float v) { return warp_max(v); }
};
template <int kThreadsOfBlock>
struct Block {
  static constexpr int kSize = kThreadsOfBlock, kRows = 1;
  static dim3 block() { return dim3(kSize); }
  static __device__ int thread() { return int(threadIdx.x); }
  static __device__ int64_t row() { return blockIdx.x; }
  static __device__ int64_t rows() { return gridDim.x; }
  static __device__ float sum(float v) { return block_sum<kSize>(v); }
  static __device__ float max(float v) { return block_max<kSize>(v); }
};

// kValues of a row in each thread of a team, as 16-byte vectors: vector i of thread t begins at column (i team + t) kWidth.
template <class Team, class T, int kValues>
struct RowRegisters {
  static constexpr int kWidth = kVector<T>, kPieces = kValues / kWidth;
  static_assert(kValues % kWidth == 0);
  float v[kPieces][kWidth];

  static __device__ int column(int piece) { return (piece * Team::kSize + Team::thread()) * kWidth; }
  // cols a multiple of kWidth; what lies beyond is `fill`.
  __device__ void read(const T* row, int cols, float fill) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (column(i) < cols) {
        load<kWidth>(v[i], row + column(i));
      } else {
#pragma unroll
        for (int j = 0; j < kWidth; ++j) v[i][j] = fill;
      }
    }
  }
  __device__ void write(T* row, int cols) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
      if (column(i) < cols) store<kWidth>(row + column(i), v[i]);
  }
  // f(value) for all, beyond the row too; f(value, i, j): which it is.
  template <class F>
  __device__ void each(F f) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
#pragma unroll
      for (int j = 0; j < kWidth; ++j) f(v[i][j], i, j);
  }
};

// A row as it lies in memory: bf16 takes half of the registers, and is unpacked where it is used.
template <class Team, class T, int kValues>
struct PackedRow {
  using Row = RowRegisters<Team, T, kValues>;
  uint4 pieces[Row::kPieces];

  __device__ void read(const T* row, int64_t cols) {
#pragma unroll
    for (int i = 0; i < Row::kPieces; ++i)
      if (Row::column(i) < cols) pieces[i] = load_packed(row + Row::column(i));
  }
  // f(values, column of the first) of each vector within the row.
  template <class F>
  __device__ void each(int64_t cols, F f) const {
#pragma unroll
    for (int i = 0; i < Row::kPieces; ++i) {
      if (Row::column(i) >= cols) continue;
      float v[Row::kWidth];
      unpack<T>(v, pieces[i]);
      f(v, Row::column(i));
    }
  }
};

// Whether rows of `cols` fit into a team with kValues a thread of a block, in units of 16 bytes.
template <int kValues, class T>
bool rows_fit(int64_t cols) {
  return cols % kVector<T> == 0 && cols <= 1024 * kValues;
}

// f.operator()<Team, values of a thread>() with the smallest team that holds a row.
template <int kValues, class F>
void with_row_team(int64_t cols, F f) {
  if (cols <= 32 * 8) f.template operator()<Warp, 8>();
  else if (cols <= 32 * 24) f.template operator()<Warp, 24>();
  else if (cols <= 32 * 32) f.template operator()<Warp, 32>();
  else if (cols <= 128 * kValues) f.template operator()<Block<128>, kValues>();
  else if (cols <= 256 * kValues) f.template operator()<Block<256>, kValues>();
  else f.template operator()<Block<1024>, kValues>();
}

template <class Team, class... P, class... A>
void launch_rows(Context& context, int64_t rows, void (*kernel)(P...), const A&... args) {
  if (rows > 0) launch(kernel, dim3(unsigned(ceil_div(rows, Team::kRows))), Team::block(), 0, context, args...);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
