// Version 6 of matmul and linear: tensor cores by mma.sync, bf16 tensors, or fp32 tensors rounded to tf32; sums in fp32.
//
// A block of 8 warps makes 128 x 128 elements of c, a warp 64 x 32 as 4 x 4 products of 16 x 8. What it teaches:
//   cp.async   three tiles of 128 bytes of k are in flight or in use; one barrier a tile: behind it every thread's share of
//              the tile has arrived, and everybody is done with the one that is filled next
//   swizzle    tiles lie as in memory, lines along k or along m (n), but the 16-byte chunks of line r are permuted by xor:
//              the eight chunks that ldmatrix takes from eight lines then lie in eight different groups of four banks
//   ldmatrix   delivers fragments in mma's layout; .trans turns lines along m (n) into fragments along k for free. It moves
//              pairs of 16 bits: tf32 lines along m (n) are read value by value, with a swizzle that keeps that conflict-free
//
// Error, element by element, u = 2^-11 for tf32 and 0 for bf16 (inputs are what they are):
//   |c - exact| <= (2 u + u^2 + (k + 4) 2^-23) sum |a| |b|, and 2^-8 |c| more where c is stored as bf16:
// each input is rounded once, products are exact, and each addition is taken to lose one unit of 2^-23, rounded or cut.
#include <type_traits>

#include "kernels/common/ptx.h"
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTile = 128, kStages = 3, kThreads = 256;
constexpr int kWarpM = 64, kWarpN = 32;

template <class T>
struct Mma {
  static constexpr int kChunk = 16 / sizeof(T);   // elements of 16 bytes
  static constexpr int kDepth = 128 / sizeof(T);  // of k in a tile
  static constexpr int kStep = 2 * kChunk;        // of k in an instruction
  static constexpr bool kPairs = sizeof(T) == 2;
  static constexpr int kStage = kTile * kDepth;  // elements of an operand
};

// A tile of an operand in shared memory: kTile of m or n ("outer") by kDepth of k.
template <class T, bool kAlongK>
struct OperandTile : Mma<T> {
  using M = Mma<T>;
  static constexpr int kLines = kAlongK ? kTile : M::kDepth, kChunks = (kAlongK ? M::kDepth : kTile) / M::kChunk;

  static __device__ int place(int line, int chunk) {
    const int swizzle = kAlongK || M::kPairs ? line & 7 : (line & 3) << 1;
    return (line * kChunks + (chunk ^ swizzle)) * M::kChunk;
  }

  static __device__ void load(T* s, const T* x, int64_t outer0, int64_t outers, int64_t k0, int64_t ks) {
    const int64_t lines = kAlongK ? outers : ks, length = kAlongK ? ks : outers;
#pragma unroll
    for (int i = 0; i < kLines * kChunks / kThreads; ++i) {
      const int at = int(threadIdx.x) + i * kThreads, line = at / kChunks, chunk = at % kChunks;
      const int64_t l = (kAlongK ? outer0 : k0) + line, e = (kAlongK ? k0 : outer0) + chunk * M::kChunk;
      const bool inside = l < lines && e < length;
      copy_async_16(s + place(line, chunk), x + (inside ? l * length + e : 0), inside);
    }
  }

  // Four quarters of 8 outer by one chunk of k, in the order of an a fragment (outer first) or of the b fragments of two
  // neighbouring 8 columns (k first).
  template <bool kOuterFirst>
  static __device__ void fragments(uint32_t (&r)[4], const T* s, int outer, int k) {
    const int lane = int(threadIdx.x) % 32;
    if constexpr (kAlongK || M::kPairs) {
      const int quarter = lane / 8, j = lane % 8;
      const int o = outer + (kOuterFirst ? quarter % 2 : quarter / 2) * 8;
      const int kq = k + (kOuterFirst ? quarter / 2 : quarter % 2) * M::kChunk;
      if constexpr (kAlongK) ldmatrix(r, s + place(o + j, kq / M::kChunk));
      else ldmatrix_trans(r, s + place(kq + j, o / M::kChunk));
    } else {
      const int g = lane / 4, t = lane % 4;
#pragma unroll
      for (int quarter = 0; quarter < 4; ++quarter) {
        const int o = outer + (kOuterFirst ? quarter % 2 : quarter / 2) * 8 + g;
        const int kq = k + (kOuterFirst ? quarter / 2 : quarter % 2) * M::kChunk + t;
        r[quarter] = uint32_t(__float_as_int(s[place(kq, o / M::kChunk) + o % M::kChunk]));
      }
    }
    if constexpr (!M::kPairs) {
#pragma unroll
      for (int i = 0; i < 4; ++i) r[i] = to_tf32(__int_as_float(int(r[i])));
    }
  }
};

template <class T>
__device__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (Mma<T>::kPairs) mma_bf16(d, a, b0, b1);
  else mma_tf32(d, a, b0, b1);
}

template <class T>
__device__ void store(const MatrixProduct<T>& p, T* c, int64_t row, int64_t column, float v) {
  if (row >= p.shape.m || column >= p.shape.n) return;
  T& at = c[row * p.shape.n + column];
  if (p.bias) v += to_float(p.bias[column]);
  if (p.relu && v < 0) v = 0;
  if (p.shape.write == Write::accumulate) v += to_float(at);
  at = from_float<T>(v);
}

template <class T, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(kThreads) product_v6_mma(MatrixProduct<T> p) {
  using M = Mma<T>;
  using A = OperandTile<T, kAAlongK>;
  using B = OperandTile<T, kBAlongK>;
  T* const tiles = dynamic_shared<T>();
  const auto tile_a = [=](int64_t step) { return tiles + step % kStages * (2 * M::kStage); };
  const auto tile_b = [=](int64_t step) { return tiles + step % kStages * (2 * M::kStage) + M::kStage; };
  const int64_t m = p.shape.m, n = p.shape.n, k = p.shape.k, tiles_n = ceil_div(n, kTile), steps = ceil_div(k, M::kDepth);
  const int64_t m0 = blockIdx.x / tiles_n * kTile, n0 = blockIdx.x % tiles_n * kTile;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int warp_m = warp / (kTile / kWarpN) * kWarpM, warp_n = warp % (kTile / kWarpN) * kWarpN;
  for (int64_t batch = blockIdx.z; batch < p.shape.batch; batch += gridDim.z) {
    const T *a = p.a + batch * m * k, *b = p.b + batch * k * n;
    const auto fill = [&](int64_t step) {
      if (step < steps) {
        A::load(tile_a(step), a, m0, m, step * M::kDepth, k);
        B::load(tile_b(step), b, n0, n, step * M::kDepth, k);
      }
      copy_async_commit();  // also an empty group: the count of the wait below stays right
    };
    float sum[kWarpM / 16][kWarpN / 8][4] = {};
    for (int step = 0; step < kStages - 1; ++step) fill(step);
    for (int64_t step = 0; step < steps; ++step) {
      copy_async_wait<kStages - 2>();
      __syncthreads();
      fill(step + kStages - 1);
      const T *sa = tile_a(step), *sb = tile_b(step);
#pragma unroll(M::kPairs ? M::kDepth / M::kStep : 1)  // unrolled, the addresses of tf32's single values would not fit in registers
      for (int kk = 0; kk < M::kDepth; kk += M::kStep) {
        uint32_t fa[kWarpM / 16][4], fb[kWarpN / 16][4];
#pragma unroll
        for (int i = 0; i < kWarpM / 16; ++i) A::template fragments<true>(fa[i], sa, warp_m + 16 * i, kk);
#pragma unroll
        for (int j = 0; j < kWarpN / 16; ++j) B::template fragments<false>(fb[j], sb, warp_n + 16 * j, kk);
#pragma unroll
        for (int i = 0; i < kWarpM / 16; ++i)
#pragma unroll
          for (int j = 0; j < kWarpN / 8; ++j) multiply<T>(sum[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
      }
    }
    T* const c = p.c + batch * m * n;
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i)
#pragma unroll
      for (int j = 0; j < kWarpN / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          store(p, c, m0 + warp_m + 16 * i + lane / 4 + e / 2 * 8, n0 + warp_n + 8 * j + lane % 4 * 2 + e % 2, sum[i][j][e]);
    copy_async_wait<0>();
    __syncthreads();  // the next batch fills tiles that slower warps still read
  }
}

template <class T>
void run(Context& context, const MatrixProduct<T>& p) {
  const MatmulParams& s = p.shape;
  const dim3 grid(unsigned(ceil_div(s.m, kTile) * ceil_div(s.n, kTile)), 1, unsigned(s.batch < kMaxBatch ? s.batch : kMaxBatch));
  const auto kernel = s.transpose_a ? (s.transpose_b ? product_v6_mma<T, false, true> : product_v6_mma<T, false, false>)
                                    : (s.transpose_b ? product_v6_mma<T, true, true> : product_v6_mma<T, true, false>);
  launch(kernel, grid, kThreads, sizeof(T) * 2 * Mma<T>::kStage * kStages, context, p);
}

}  // namespace

bool supports_mma(const MatrixProduct<float>& p) { return aligned_lines(p); }
bool supports_mma(const MatrixProduct<BFloat16>& p) { return aligned_lines(p); }
void mma_product(Context& context, const MatrixProduct<float>& p) { run(context, p); }
void mma_product(Context& context, const MatrixProduct<BFloat16>& p) { run(context, p); }

}  // namespace graft::GRAFT_GPU
