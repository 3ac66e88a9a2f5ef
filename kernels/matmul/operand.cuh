// What the main loops multiply, told apart from how: c(m, n) = f(sum over k of a(m, k) b(k, n)) for each of `groups`
// products. The loops (tile.cuh, vectorised_loop.cuh, mma_loop.cuh) ask an operand for addresses only: a matrix, its
// transpose and the patches of a convolution run through the same loop, and nothing is unfolded in memory.
//
// An operand has two indices, the outer one (m of a, n of b) and k:
//   kAlong              along which of them neighbours in memory lie
//   outer(g, i), k(i)   what an index means, worked out as rarely as possible
//   at(outer, k)        the address of an element
//   inside(outer, k)    whether there is one; it is zero otherwise
#pragma once
#include "kernels/common/launch.h"
#include "kernels/common/vectors.h"
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

enum class Along { k, outer };

// A matrix in memory whose lines run along k (element (outer, k) at outer line + k) or along the outer index.
template <class T, Along kLines>
struct Lines {
  using Element = T;
  static constexpr Along kAlong = kLines;
  const T* x;
  int64_t group, line;  // elements from one to the next
  __device__ const T* outer(int g, int i) const { return whole(x + g * group + (kAlong == Along::k ? i * line : i)); }
  __device__ int64_t k(int i) const { return kAlong == Along::k ? i : i * line; }
  __device__ const T* at(const T* outer, int64_t k) const { return outer + k; }
  static __device__ bool inside(const T*, int64_t) { return true; }
};

// The chunks of kChunk neighbours that a thread fetches of every tile, kTile of the outer index by kDepth of k. Neighbouring
// threads take neighbouring chunks of a line, so that all chunks of a thread have the same place within their lines.
template <class Operand, int kTile, int kDepth, int kChunk, int kThreads>
struct Chunks {
  static constexpr bool kAlongK = Operand::kAlong == Along::k;
  // NOLINTNEXTLINE(bugprone-branch-clone): in some instances they are equal
  static constexpr int kLines = kAlongK ? kTile : kDepth, kPerLine = (kAlongK ? kDepth : kTile) / kChunk;
  static constexpr int kCount = kLines * kPerLine / kThreads, kStep = kThreads / kPerLine;  // chunks; lines between two
  static constexpr int kOuters = kAlongK ? kCount : 1;
  static_assert(kThreads % kPerLine == 0 && kLines % kStep == 0);

  const Operand& operand;
  int outer0, outers;
  decltype(operand.outer(0, 0)) outer[kOuters];

  static __device__ int line(int i) { return int(threadIdx.x / unsigned(kPerLine)) + i * kStep; }
  static __device__ int chunk() { return int(threadIdx.x % unsigned(kPerLine)); }

  __device__ Chunks(const Operand& o, int g, int first, int count) : operand(o), outer0(first), outers(count) {
#pragma unroll
    for (int i = 0; i < kOuters; ++i) outer[i] = operand.outer(g, is_inside(i) ? outer_index(i) : 0);
  }
  __device__ int outer_index(int i) const { return outer0 + (kAlongK ? line(i) : chunk() * kChunk); }
  __device__ bool is_inside(int i) const { return outer_index(i) < outers; }

  // f(i, address of chunk i, whether it is inside; zero otherwise) for the tile that starts at k0; k ends before `end`.
  template <class F>
  __device__ void for_each(int k0, int end, F f) const {
    if constexpr (kAlongK) {
      const int k = k0 + chunk() * kChunk;
      const auto at = operand.k(k < end ? k : 0);
#pragma unroll
      for (int i = 0; i < kCount; ++i) f(i, operand.at(outer[i], at), k < end && is_inside(i) && operand.inside(outer[i], at));
    } else {
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const int k = k0 + line(i);
        const auto at = operand.k(k);
        f(i, operand.at(outer[0], at), k < end && is_inside(0) && operand.inside(outer[0], at));
      }
    }
  }
};

// Where the rows of c lie, for a matrix and for most passes of a convolution.
struct Rows {
  int64_t group, line;
  __device__ int64_t operator()(int g, int i) const { return g * group + i * line; }
};

template <class A, class B, class T, class PlaceOfRow = Rows>
struct Product {
  using Element = T;
  int groups, m, n, k;
  A a;
  B b;
  T* c;
  PlaceOfRow row;
  const T* bias = nullptr;      // [groups n]
  const T* residual = nullptr;  // like c
  Activation activation = Activation::none;
  bool vectors = false;         // rows of c start and end at multiples of 16 bytes
  int k_part = 0;               // of k in a block; the rest is other blocks'
  float* partial = nullptr;     // [parts, groups, m, n], where there is more than one part
  float* statistics = nullptr;  // [2, groups n]: mean and variance of the columns of c (statistics.cuh); null for none
  float* tile_sums = nullptr;   // [rows of tiles, 2, groups n]: sums of the values and of their squares
  float* sums_of_a = nullptr;   // [columns of tiles, m]: the sums over parts of k of a (persistent.cuh)

  // v is the sum of c(i, j ..) and becomes what is stored; elements behind n are ignored.
  template <int kWidth>
  __device__ void store(int part, int g, int i, int j, float (&v)[kWidth]) const {
    if (partial) return write(partial + ((int64_t(part) * groups + g) * m + i) * n + j, n - j, v);
    finish(g, i, j, v);
  }
  template <int kWidth>
  __device__ void finish(int g, int i, int j, float (&v)[kWidth]) const {
    apply(g, i, j, v);
    write(c + row(g, i) + j, n - j, v);
  }
  // kMayBeGelu: false where the caller knows better; its code is long.
  template <bool kMayBeGelu = true, int kWidth>
  __device__ void apply(int g, int i, int j, float (&v)[kWidth]) const {
    if (bias) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) v[e] += j + e < n ? to_float(bias[g * n + j + e]) : 0.0f;
    }
    if (residual) {
      float r[kWidth];
      read(r, residual + row(g, i) + j, n - j);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) v[e] += r[e];
    }
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      if (activation == Activation::relu && v[e] < 0) v[e] = 0;  // NaN stays
      if (kMayBeGelu && activation == Activation::gelu) v[e] = 0.5f * v[e] * erfcf(-0.70710678f * v[e]);
    }
  }

  template <class U, int kWidth>
  __device__ void read(float (&v)[kWidth], const U* p, int count) const {
    if constexpr (kWidth % kVector<U> == 0)
      if (vectors) return load(v, p);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v[e] = e < count ? to_float(p[e]) : 0.0f;
  }
  template <class U, int kWidth>
  __device__ void write(U* p, int count, const float (&v)[kWidth]) const {
    if constexpr (kWidth % kVector<U> == 0)
      if (vectors) return ::graft::GRAFT_GPU::store(p, v);
#pragma unroll
    for (int e = 0; e < kWidth; ++e)
      if (e < count) p[e] = from_float<U>(v[e]);
  }
};

// The corner of a tile. Blocks that run together cover eight rows of tiles: what they read of b stays in L2.
struct Corner {
  int m, n;
};
template <int kTile>
__device__ Corner corner_of_tile(int tile, int m, int n) {
  constexpr int kBand = 8;
  const int rows = (m + kTile - 1) / kTile, columns = (n + kTile - 1) / kTile;
  const int first = tile / (kBand * columns) * kBand, height = rows - first < kBand ? rows - first : kBand;
  const int in_band = tile - first * columns;
  return {(first + in_band % height) * kTile, in_band / height * kTile};
}
template <int kTile>
__host__ __device__ int tiles_of(int m, int n) {
  return (m + kTile - 1) / kTile * ((n + kTile - 1) / kTile);
}
template <int kTile>
__device__ Corner corner_of_block(int m, int n) {
  return corner_of_tile<kTile>(int(blockIdx.x), m, n);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
