// The fp32 products of version 5 of attention, of a block of 128 threads: lane tx + 16 y of warp w has rows 16 w + y + 2 r and
// columns tx + 16 c of the scores, and features kV (tx + 16 n) + e of the same rows. Lines are 4 floats longer than they have to
// be.
#pragma once
#include "kernels/attention/mma_tile.cuh"
#include "kernels/attention/online_softmax.cuh"

namespace graft::GRAFT_GPU {
namespace {

constexpr int kTileRows = 64, kR = 8, kTileThreads = 128;
template <int kDim>
constexpr int kV = kDim == 32 ? 2 : 4;
template <int kDim>
constexpr int kGroups = kDim / 16 / kV<kDim>;

// Rows [t0, ..) of a head by cp.async, zeros from `end` on.
template <int kDim, int kTile>
__device__ void load(float (&tile)[kTile][kDim + 4], const Head<const float>& head, int t0, int end) {
  constexpr int kChunks = kDim / 4, kRowsAtOnce = kTileThreads / kChunks;
  const int row = int(threadIdx.x) / kChunks, chunk = int(threadIdx.x) % kChunks;
  const float* from = head.row(t0 + row) + 4 * chunk;
#pragma unroll 4  // all at once, their addresses would cost the sums their registers
  for (int i = 0; i < kTile; i += kRowsAtOnce) copy_async_16(&tile[row + i][4 * chunk], from + i * head.step, t0 + row + i < end);
}

__device__ void read(float (&v)[4], const float* p) {
  const float4 x = *reinterpret_cast<const float4*>(p);
  v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
}
__device__ void read(float (&v)[2], const float* p) {
  const float2 x = *reinterpret_cast<const float2*>(p);
  v[0] = x.x, v[1] = x.y;
}
__device__ void write(float* p, const float (&v)[4]) { *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]); }
__device__ void write(float* p, const float (&v)[2]) { *reinterpret_cast<float2*>(p) = make_float2(v[0], v[1]); }

// score[r][c] += own row . row of the stream.
template <int kDim, int kC>
__device__ void add_scores(float (&score)[kR][kC], const float (&own)[kTileRows][kDim + 4],
                           const float (&stream)[16 * kC][kDim + 4], int row) {
  const int tx = int(threadIdx.x) % 16;
#pragma unroll(kC > 2 ? 2 : 1)  // backward with head_dim 128 has no register left for two
  for (int d = 0; d < kDim; d += 4) {
    float b[kC][4];
#pragma unroll
    for (int c = 0; c < kC; ++c) read(b[c], &stream[tx + 16 * c][d]);
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      float a[4];
      read(a, &own[row + 2 * r][d]);
#pragma unroll
      for (int c = 0; c < kC; ++c)
#pragma unroll
        for (int i = 0; i < 4; ++i) score[r][c] = fmaf(a[i], b[c][i], score[r][c]);
    }
  }
}

// acc += weight times rows of the stream.
template <int kDim, int kStream>
__device__ void add_weighted(float (&acc)[kR][kGroups<kDim>][kV<kDim>], const float (&weight)[kTileRows][kStream + 4],
                             const float (&stream)[kStream][kDim + 4], int row) {
  const int tx = int(threadIdx.x) % 16;
#pragma unroll 1
  for (int j = 0; j < kStream; j += 4) {
    float v[4][kGroups<kDim>][kV<kDim>];
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int n = 0; n < kGroups<kDim>; ++n) read(v[i][n], &stream[j + i][(16 * n + tx) * kV<kDim>]);
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      float w[4];
      read(w, &weight[row + 2 * r][j]);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int n = 0; n < kGroups<kDim>; ++n)
#pragma unroll
          for (int e = 0; e < kV<kDim>; ++e) acc[r][n][e] = fmaf(w[i], v[i][n][e], acc[r][n][e]);
    }
  }
}

}  // namespace
}  // namespace graft::GRAFT_GPU
