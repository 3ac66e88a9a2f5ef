// c = op(a) op(b) or c += op(a) op(b), formula and shapes in matmul.h.
//
// | version          | accepts                    | what it teaches                                                           |
// |------------------|----------------------------|---------------------------------------------------------------------------|
// | v1 naive         | all                        | a thread an element of c; neighbours in a warp work down a column, so     |
// |                  |                            | each load of a is 32 transactions                                         |
// | v2 coalesced     | all, fp32                  | the same loop with neighbours along a row of c: a is one broadcast, b and |
// |                  |                            | c one transaction of 128 bytes                                            |
// | v3 shared tile   | all, fp32                  | 32 x 32 tiles of a and b through shared memory, four elements a thread:   |
// |                  |                            | each load from memory serves 32 products                                  |
// | v4 register tile | all                        | tile.cuh: 64 x 64, 4 x 4 elements in the registers of a thread: each load |
// |                  |                            | from shared memory serves 4 products                                      |
// | v5 vectorised    | fp32, lines of a and b in  | vectorised_loop.cuh: 128 x 128, 8 x 8 elements a thread, float4 loads,    |
// |                  | units of 16 bytes          | two tiles in turns                                                        |
// | v6 mma           | lines of a and b in units  | mma_loop.cuh: tensor cores; in fp32 by request, because it rounds to tf32 |
// |                  | of 16 bytes                |                                                                           |
// | v7 wgmma         | on Hopper, c at least      | wgmma_kernels.cuh: TMA fills a ring of tiles, wgmma multiplies from       |
// |                  | 64 x 64; fp32: a not       | there; lines that are not aligned are copied (aligned.cuh)                |
// |                  | transposed, b transposed   |                                                                           |
// | v8 persistent    | as v7, bf16, m > 128, k    | persistent_kernels.cuh: blocks take tile after tile, pairs share b by     |
// |                  | not cut                    | multicast, TMA stores c                                                   |
// | v9 simt tma      | on Hopper, fp32, lines as  | tma_kernels.cuh: TMA fetches for SIMT: all registers are for sums and     |
// |                  | in v5                      | operands, 8 x 16 elements a thread                                        |
// From v4 on, k is cut into parts where c is small and a transposed (split.cuh). Sums are fp32 everywhere.
#include "kernels/common/ptx.h"
#include "kernels/common/launch.h"
#include "kernels/common/registry.h"
#include "kernels/common/versions.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/product.h"

namespace graft::GRAFT_GPU {
namespace {

constexpr int64_t kMaxBatch = 65535;  // of gridDim.z; the kernels stride over more
constexpr int kSharedTile = 32, kRowsPerThread = 4, kSharedTileThreads = kSharedTile * kSharedTile / kRowsPerThread;

__device__ float load_a(const float* a, const MatmulParams& p, int64_t i, int64_t k) {
  return i < p.m && k < p.k ? (p.transpose_a ? a[k * p.m + i] : a[i * p.k + k]) : 0;
}
__device__ float load_b(const float* b, const MatmulParams& p, int64_t k, int64_t j) {
  return j < p.n && k < p.k ? (p.transpose_b ? b[j * p.k + k] : b[k * p.n + j]) : 0;
}
template <class T>
__device__ void write(T* c, const MatmulParams& p, int64_t at, float sum) {
  c[at] = from_float<T>(p.write == Write::accumulate ? to_float(c[at]) + sum : sum);
}

enum class Neighbours { column, row };

template <Neighbours kNeighbours, class T>
__global__ void __launch_bounds__(kThreads) matmul_v1_v2(T* c, const T* a, const T* b, MatmulParams p) {
  for (int64_t s = blockIdx.z; s < p.batch; s += gridDim.z)
    for (int64_t at = global_thread(); at < p.m * p.n; at += global_threads()) {
      const int64_t i = kNeighbours == Neighbours::row ? at / p.n : at % p.m;
      const int64_t j = kNeighbours == Neighbours::row ? at % p.n : at / p.m;
      const T* ak = a + s * p.m * p.k + (p.transpose_a ? i : i * p.k);
      const T* bk = b + s * p.k * p.n + (p.transpose_b ? j * p.k : j);
      const int64_t a_step = p.transpose_a ? p.m : 1, b_step = p.transpose_b ? 1 : p.n;
      float sum = 0;
      for (int64_t k = 0; k < p.k; ++k, ak += a_step, bk += b_step) sum = fmaf(to_float(*ak), to_float(*bk), sum);
      write(c + s * p.m * p.n, p, i * p.n + j, sum);
    }
}

// Tiles along x: all of n for one tile of m after the other.
__global__ void __launch_bounds__(kSharedTileThreads)
    matmul_v3_shared_tile(float* c, const float* a, const float* b, MatmulParams p) {
  struct Smem {
    float a[kSharedTile][kSharedTile + 1], b[kSharedTile][kSharedTile + 1];
  };  // + 1: both orders without bank conflicts
  auto& s = shared<Smem>();
  constexpr int kStep = kSharedTile / kRowsPerThread;
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  const int64_t tiles_n = ceil_div(p.n, kSharedTile);
  const int64_t i0 = int64_t(blockIdx.x) / tiles_n * kSharedTile, j0 = int64_t(blockIdx.x) % tiles_n * kSharedTile;
  for (int64_t batch = blockIdx.z; batch < p.batch; batch += gridDim.z) {
    const float *ab = a + batch * p.m * p.k, *bb = b + batch * p.k * p.n;
    float sum[kRowsPerThread] = {};
    for (int64_t k0 = 0; k0 < p.k; k0 += kSharedTile) {
#pragma unroll
      for (int r = 0; r < kSharedTile; r += kStep) {  // consecutive threads read consecutive addresses
        if (p.transpose_a) s.a[tx][ty + r] = load_a(ab, p, i0 + tx, k0 + ty + r);
        else s.a[ty + r][tx] = load_a(ab, p, i0 + ty + r, k0 + tx);
        if (p.transpose_b) s.b[tx][ty + r] = load_b(bb, p, k0 + tx, j0 + ty + r);
        else s.b[ty + r][tx] = load_b(bb, p, k0 + ty + r, j0 + tx);
      }
      __syncthreads();
      for (int k = 0; k < kSharedTile; ++k) {
        const float bk = s.b[k][tx];
#pragma unroll
        for (int r = 0; r < kRowsPerThread; ++r) sum[r] = fmaf(s.a[ty + r * kStep][k], bk, sum[r]);
      }
      __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) {
      const int64_t i = i0 + ty + r * kStep, j = j0 + tx;
      if (i < p.m && j < p.n) write(c + batch * p.m * p.n, p, i * p.n + j, sum[r]);
    }
  }
}

dim3 grid_of(const MatmulParams& p, int64_t blocks) {
  return dim3(unsigned(blocks), 1, unsigned(p.batch < kMaxBatch ? p.batch : kMaxBatch));
}
bool nothing(const MatmulParams& p) { return p.batch == 0 || p.m == 0 || p.n == 0; }

template <class T>
bool accepts_all(T*, const T*, const T*, const MatmulParams&) {
  return true;
}

template <Neighbours kNeighbours, class T>
void run_v1_v2(Context& context, T* c, const T* a, const T* b, const MatmulParams& p) {
  launch(matmul_v1_v2<kNeighbours, T>, grid_of(p, blocks_for(p.m * p.n, kThreads)), kThreads, 0, context, c, a, b, p);
}
void run_v3(Context& context, float* c, const float* a, const float* b, const MatmulParams& p) {
  launch(matmul_v3_shared_tile, grid_of(p, ceil_div(p.m, kSharedTile) * ceil_div(p.n, kSharedTile)),
         dim3(kSharedTile, kSharedTile / kRowsPerThread), 0, context, c, a, b, p);
}

// A transposed is a weight gradient's: its k is the batch.
template <class T>
MatrixProduct<T> as_product(T* c, const T* a, const T* b, const MatmulParams& p) {
  return {.c = c, .a = a, .b = b, .shape = p, .split = p.transpose_a ? SplitK::by_shape : SplitK::never};
}
template <class T, bool (*kSupports)(const MatrixProduct<T>&), void (*kRun)(Context&, const MatrixProduct<T>&),
          bool (*kPays)(const MatrixProduct<T>&) = nullptr>
struct By {
  static bool supports(T* c, const T* a, const T* b, const MatmulParams& p) { return kSupports(as_product(c, a, b, p)); }
  static bool pays(T* c, const T* a, const T* b, const MatmulParams& p) { return kPays(as_product(c, a, b, p)); }
  static void run(Context& context, T* c, const T* a, const T* b, const MatmulParams& p) { kRun(context, as_product(c, a, b, p)); }
};
template <class T>
using Tile = By<T, supports_tile<T>, tile_product>;
using Vectorised = By<float, supports_vectorised, vectorised_product>;
template <class T>
using Mma = By<T, supports_mma, mma_product>;
template <class T>
using Wgmma = By<T, supports_wgmma, wgmma_product>;
using Persistent = By<BFloat16, supports_persistent, persistent_product>;
using SimtTma = By<float, supports_simt_tma, simt_tma_product, simt_tma_pays>;

constexpr Rung<MatmulForward<float>> kMatmul[] = {
    {{1, "naive"}, accepts_all, run_v1_v2<Neighbours::column, float>},
    {{2, "coalesced"}, accepts_all, run_v1_v2<Neighbours::row, float>},
    {{3, "shared tile"}, accepts_all, run_v3},
    {{4, "register tile"}, Tile<float>::supports, Tile<float>::run},
    {{5, "vectorised"}, Vectorised::supports, Vectorised::run},
    {{6, "mma tf32", true}, Mma<float>::supports, Mma<float>::run},
    {{7, "wgmma tf32", true}, Wgmma<float>::supports, Wgmma<float>::run},
    {{9, "simt tma"}, SimtTma::supports, SimtTma::run, SimtTma::pays},
};
constexpr Rung<MatmulForward<BFloat16>> kMatmulBf16[] = {
    {{1, "naive"}, accepts_all, run_v1_v2<Neighbours::column, BFloat16>},
    {{4, "register tile"}, Tile<BFloat16>::supports, Tile<BFloat16>::run},
    {{6, "mma bf16"}, Mma<BFloat16>::supports, Mma<BFloat16>::run},
    {{7, "wgmma bf16"}, Wgmma<BFloat16>::supports, Wgmma<BFloat16>::run},
    {{8, "persistent bf16"}, Persistent::supports, Persistent::run},
};

}  // namespace

void matmul_forward(Context& context, float* c, const float* a, const float* b, const MatmulParams& p) {
  if (!nothing(p)) run_version(Op::matmul, kMatmul, context, c, a, b, p);
}

void matmul_forward(Context& context, BFloat16* c, const BFloat16* a, const BFloat16* b, const MatmulParams& p) {
  if (!nothing(p)) run_version(Op::matmul, kMatmulBf16, context, c, a, b, p);
}

GRAFT_KERNEL(matmul, forward, GRAFT_GPU, float, MatmulForward);
GRAFT_KERNEL(matmul, forward, GRAFT_GPU, BFloat16, MatmulForward);
GRAFT_VERSIONS(matmul, forward, GRAFT_GPU, float, kMatmul);
GRAFT_VERSIONS(matmul, forward, GRAFT_GPU, BFloat16, kMatmulBf16);

}  // namespace graft::GRAFT_GPU
