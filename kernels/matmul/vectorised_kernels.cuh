// Version 5 of matmul and linear: the SIMT loop as far as fp32 without tensor cores goes.
//
// A block of 256 threads makes 128 x 128 elements of c, each thread 8 x 8: of 16 floats from shared memory it makes 64
// products. Memory is read as float4; the next tile is fetched into registers while this one is multiplied, and two tiles
// in shared memory take turns, so one barrier a tile is enough.
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTile = 128, kDepth = 16, kThreads = 256;
constexpr int kLine = kTile + 4;                        // a multiple of float4 that is none of 32 banks
constexpr int kPieces = kTile * kDepth / 4 / kThreads;  // float4 of each operand a thread

struct Stage {
  float a[kDepth][kLine], b[kDepth][kLine];
};

// A tile of an operand: `outer` is m or n. In memory its lines run along k or along outer; in shared memory always along
// outer, so that the inner loop reads float4.
template <bool kAlongK>
struct Operand {
  const float* x;
  int64_t outer0, outers, ks;

  static __device__ int outer(int piece) { return kAlongK ? piece / (kDepth / 4) : piece % (kTile / 4) * 4; }
  static __device__ int k(int piece) { return kAlongK ? piece % (kDepth / 4) * 4 : piece / (kTile / 4); }

  __device__ void fetch(float4 (&v)[kPieces], int64_t k0) const {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int piece = int(threadIdx.x) + i * kThreads;
      const int64_t o = outer0 + outer(piece), at = k0 + k(piece);
      v[i] = o < outers && at < ks ? *reinterpret_cast<const float4*>(x + (kAlongK ? o * ks + at : at * outers + o))
                                   : make_float4(0, 0, 0, 0);
    }
  }
  static __device__ void store(float (&s)[kDepth][kLine], const float4 (&v)[kPieces]) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int piece = int(threadIdx.x) + i * kThreads, o = outer(piece), at = k(piece);
      if constexpr (kAlongK) s[at][o] = v[i].x, s[at + 1][o] = v[i].y, s[at + 2][o] = v[i].z, s[at + 3][o] = v[i].w;
      else *reinterpret_cast<float4*>(&s[at][o]) = v[i];
    }
  }
};

// Elements 4 t .. 4 t + 3 of each half of a line: neighbouring threads read neighbouring float4.
__device__ inline void read_eight(float (&v)[8], const float* line, int t) {
  const float4 low = *reinterpret_cast<const float4*>(line + 4 * t),
               high = *reinterpret_cast<const float4*>(line + kTile / 2 + 4 * t);
  v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w, v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

template <bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(kThreads) product_v5_vectorised(MatrixProduct<float> p) {
  struct Smem {
    Stage stage[2];
  };
  auto& s = shared<Smem>();
  const int64_t m = p.shape.m, n = p.shape.n, k = p.shape.k, tiles_n = ceil_div(n, kTile);
  const int64_t m0 = blockIdx.x / tiles_n * kTile, n0 = blockIdx.x % tiles_n * kTile;
  const int tx = int(threadIdx.x) % 16, ty = int(threadIdx.x) / 16;
  for (int64_t batch = blockIdx.z; batch < p.shape.batch; batch += gridDim.z) {
    const Operand<kAAlongK> a{p.a + batch * m * k, m0, m, k};
    const Operand<kBAlongK> b{p.b + batch * k * n, n0, n, k};
    float4 next_a[kPieces], next_b[kPieces];
    float sum[8][8] = {};
    a.fetch(next_a, 0);
    b.fetch(next_b, 0);
    a.store(s.stage[0].a, next_a);
    b.store(s.stage[0].b, next_b);
    __syncthreads();
    int now = 0;
    for (int64_t k0 = 0; k0 < k; k0 += kDepth, now ^= 1) {
      const bool more = k0 + kDepth < k;
      if (more) {
        a.fetch(next_a, k0 + kDepth);
        b.fetch(next_b, k0 + kDepth);
      }
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        float av[8], bv[8];
        read_eight(av, s.stage[now].a[d], ty);
        read_eight(bv, s.stage[now].b[d], tx);
#pragma unroll
        for (int i = 0; i < 8; ++i)
#pragma unroll
          for (int j = 0; j < 8; ++j) sum[i][j] = fmaf(av[i], bv[j], sum[i][j]);
      }
      if (more) {
        a.store(s.stage[now ^ 1].a, next_a);
        b.store(s.stage[now ^ 1].b, next_b);
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int64_t row = m0 + i / 4 * (kTile / 2) + 4 * ty + i % 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t column = n0 + half * (kTile / 2) + 4 * tx;
        if (row >= m || column >= n) continue;
        auto* at = reinterpret_cast<float4*>(p.c + (batch * m + row) * n + column);
        float v[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          v[j] = sum[i][4 * half + j] + (p.bias ? p.bias[column + j] : 0.0f);
          if (p.relu && v[j] < 0) v[j] = 0;
        }
        if (p.shape.write == Write::accumulate) v[0] += at->x, v[1] += at->y, v[2] += at->z, v[3] += at->w;
        *at = make_float4(v[0], v[1], v[2], v[3]);
      }
    }
  }
}

}  // namespace

bool supports_vectorised(const MatrixProduct<float>& p) {
  return aligned_lines(p) && p.shape.n % 4 == 0 && reinterpret_cast<uintptr_t>(p.c) % 16 == 0;
}

void vectorised_product(Context& context, const MatrixProduct<float>& p) {
  const MatmulParams& s = p.shape;
  const dim3 grid(unsigned(ceil_div(s.m, kTile) * ceil_div(s.n, kTile)), 1, unsigned(s.batch < kMaxBatch ? s.batch : kMaxBatch));
  const auto kernel = s.transpose_a ? (s.transpose_b ? product_v5_vectorised<false, true> : product_v5_vectorised<false, false>)
                                    : (s.transpose_b ? product_v5_vectorised<true, true> : product_v5_vectorised<true, false>);
  launch(kernel, grid, kThreads, 0, context, p);
}

}  // namespace graft::GRAFT_GPU
