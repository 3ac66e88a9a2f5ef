// Sums in an order that the shape alone fixes, for every kernel that reduces: a term is a functor, so is what becomes of
// the sum, and N sums run side by side (mean and variance, dweight and dbias), in float or, of columns, in double.
//   sum_rows     out[o] of the terms (o, k), k < n            short: one thread; long: one block; longest: blocks, then blocks
//   sum_columns  out[o, i] of the terms (o, k, i), k < n      32 columns x 8 to 32 rows a block, so that a warp reads one line;
//                                                             long columns in chunks, no more than fill a GPU
#pragma once
#include <algorithm>
#include <utility>

#include "kernels/common/launch.h"

namespace graft::GRAFT_GPU {
namespace {

template <int N, class A = float>
struct Sums {
  static constexpr int kCount = N;
  using Value = A;
  A v[N];
  __device__ Sums& operator+=(const Sums& o) {
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] += o.v[i];
    return *this;
  }
};

template <int N>
struct WarpSums {
  float v[32][N];
};

// The sum over the threads of a one-dimensional block of whole warps, the same bits in every thread.
template <int N>
__device__ Sums<N> block_sum(Sums<N> s, WarpSums<N>& warps) {
#pragma unroll
  for (int i = 0; i < N; ++i)
    for (int d = 16; d > 0; d /= 2) s.v[i] += __shfl_xor_sync(kFullWarp, s.v[i], d);
  if (threadIdx.x % 32 == 0)
    for (int i = 0; i < N; ++i) warps.v[threadIdx.x / 32][i] = s.v[i];
  __syncthreads();
  Sums<N> total{};
  for (unsigned w = 0; w < blockDim.x / 32; ++w)
    for (int i = 0; i < N; ++i) total.v[i] += warps.v[w][i];
  __syncthreads();  // before the next sum writes
  return total;
}

// Threads of a block that walks n elements: whole warps, about four elements a thread.
inline int block_threads(int64_t n) {
  int threads = 32;
  while (threads < kThreads && threads * 4 < n) threads *= 2;
  return threads;
}

template <class Term, class Store>
__global__ void __launch_bounds__(kThreads) sum_rows_thread_v1(int64_t outputs, int64_t n, Term term, Store store) {
  const int64_t o = global_thread();
  if (o >= outputs) return;
  Sums<Term::kSums> s{};
  for (int64_t k = 0; k < n; ++k) s += term(o, k);
  store(o, s);
}

// Block b sums terms [chunk (b % chunks), + chunk) of output b / chunks.
template <class Term, class Store>
__global__ void __launch_bounds__(kThreads) sum_rows_block_v1(int64_t n, int64_t chunk, int64_t chunks, Term term, Store store) {
  auto& warps = shared<WarpSums<Term::kSums>>();
  const int64_t o = blockIdx.x / chunks, begin = blockIdx.x % chunks * chunk, end = begin + chunk < n ? begin + chunk : n;
  Sums<Term::kSums> s{};
  for (int64_t k = begin + threadIdx.x; k < end; k += blockDim.x) s += term(o, k);
  s = block_sum(s, warps);
  if (threadIdx.x == 0) store(blockIdx.x, s);
}

template <class Term>
using SumsOfColumns = decltype(std::declval<const Term&>()(int64_t{}, int64_t{}, int64_t{}));

// blockDim.x / 32 rows down, 8 to 32; kAtOnce terms of a thread are under way together.
constexpr int kMostColumnThreads = 1024;
template <class Term, class Store>
__global__ void __launch_bounds__(kMostColumnThreads)
    sum_columns_v1(int64_t n, int64_t inner, int64_t chunk, int64_t chunks, Term term, Store store) {
  using S = SumsOfColumns<Term>;
  constexpr int kAtOnce = S::kCount > 1 ? 4 : 8;
  struct Smem {
    S row[kMostColumnThreads / 32][33];
  };
  auto& s = shared<Smem>();
  const int64_t tiles = (inner + 31) / 32, tile = blockIdx.x % tiles, part = blockIdx.x / tiles;
  const int64_t o = part / chunks, begin = part % chunks * chunk, end = begin + chunk < n ? begin + chunk : n;
  const int column = threadIdx.x % 32, row = threadIdx.x / 32, rows = int(blockDim.x) / 32;
  const int64_t i = tile * 32 + column;
  S sum{};
  if (i < inner) {
    int64_t k = begin + row;
    for (; k + (kAtOnce - 1) * rows < end; k += kAtOnce * rows) {
      S next[kAtOnce];
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) next[u] = term(o, k + u * rows, i);
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u) sum += next[u];
    }
#pragma unroll 2
    for (; k < end; k += rows) sum += term(o, k, i);
  }
  s.row[row][column] = sum;
  __syncthreads();
  if (row != 0 || i >= inner) return;
#pragma unroll 4
  for (int r = 1; r < rows; ++r) sum += s.row[r][column];
  store(part, i, sum);
}

// Partial sums [part][N][inner] between two launches.
template <int N, class A = float>
struct StorePartial {
  A* partial;
  int64_t inner;
  __device__ void operator()(int64_t part, int64_t i, const Sums<N, A>& s) const {
#pragma unroll
    for (int j = 0; j < N; ++j) partial[(part * N + j) * inner + i] = s.v[j];
  }
  __device__ void operator()(int64_t part, const Sums<N, A>& s) const { (*this)(part, 0, s); }
};

template <int N, class A = float>
struct PartialTerm {
  static constexpr int kSums = N;
  const A* partial;
  int64_t chunks, inner;
  __device__ Sums<N, A> operator()(int64_t o, int64_t k, int64_t i) const {
    Sums<N, A> s;
#pragma unroll
    for (int j = 0; j < N; ++j) s.v[j] = partial[((o * chunks + k) * N + j) * inner + i];
    return s;
  }
  __device__ Sums<N, A> operator()(int64_t o, int64_t k) const { return (*this)(o, k, 0); }
};

// store(o, Sums)
template <class Term, class Store>
void sum_rows(Context& context, int64_t outputs, int64_t n, Term term, Store store) {
  constexpr int64_t kShort = 64, kChunk = gpu_or_emu<int64_t>(1 << 14, 1 << 10);
  constexpr int N = Term::kSums;
  if (n <= kShort) return launch_threads(context, outputs, sum_rows_thread_v1<Term, Store>, outputs, n, term, store);
  if (n <= kChunk)
    return launch_blocks(context, outputs, block_threads(n), sum_rows_block_v1<Term, Store>, n, n, int64_t{1}, term, store);
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  const auto partial = device_scratch<float>(context, size_t(outputs * chunks * N));
  launch_blocks(context, outputs * chunks, kThreads, sum_rows_block_v1<Term, StorePartial<N>>, n, kChunk, chunks, term,
                StorePartial<N>{partial.get(), 1});
  sum_rows(context, outputs, chunks, PartialTerm<N>{partial.get(), chunks, 1}, store);
}

// store(o, i, Sums)
template <class Term, class Store>
void sum_columns(Context& context, int64_t outer, int64_t n, int64_t inner, Term term, Store store) {
  constexpr int64_t kFill = 132 * 8, kFew = 264;  // blocks: all that a GPU can hold; two a multiprocessor
  constexpr int64_t kOneLaunch = 1024, kMostRows = 1 << 12, kLeastRows = 64;
  using A = typename SumsOfColumns<Term>::Value;
  constexpr int N = SumsOfColumns<Term>::kCount;
  const int64_t tiles = (inner + 31) / 32, blocks = outer * tiles;
  if (n <= kOneLaunch || (n <= kMostRows && blocks >= kFill)) {
    const int threads = n > 128 && blocks < kFew ? kMostColumnThreads : kThreads;
    return launch_blocks(context, blocks, threads, sum_columns_v1<Term, Store>, n, inner, n, int64_t{1}, term, store);
  }
  const int64_t wanted = std::max(kFill / std::max<int64_t>(blocks, 1), ceil_div(n, kMostRows));
  const int64_t chunk = std::max(ceil_div(n, wanted), kLeastRows), chunks = ceil_div(n, chunk);
  const auto partial = device_scratch<A>(context, size_t(outer * chunks * inner * N));
  launch_blocks(context, blocks * chunks, kThreads, sum_columns_v1<Term, StorePartial<N, A>>, n, inner, chunk, chunks, term,
                StorePartial<N, A>{partial.get(), inner});
  sum_columns(context, outer, chunks, inner, PartialTerm<N, A>{partial.get(), chunks, inner}, store);
}

}  // namespace
}  // namespace graft::GRAFT_GPU
