// One kernel a wrapper: in, out: words in global memory, 16-byte aligned; lane l reads and writes its own.
#include "kernels/common/ptx.h"
#include "tests/kernels/conformance.h"

namespace graft::GRAFT_GPU {
namespace {

using conformance::Fill;
using conformance::Wrapper;

struct alignas(16) Tile {
  uint32_t word[32][4];  // four 8 x 8 matrices of 16 bits
};
__device__ inline Tile& tile_of(const uint32_t* in) {
  auto& s = shared<Tile>();
  for (int j = 0; j < 4; ++j) s.word[threadIdx.x][j] = in[4 * threadIdx.x + j];
  __syncwarp();
  return s;
}

template <int kCount, bool kTrans>
__global__ void __launch_bounds__(32) run_ldmatrix(uint32_t* out, const uint32_t* in) {
  Tile& s = tile_of(in);
  uint32_t r[kCount];
  if constexpr (kTrans) ldmatrix_trans(r, s.word[threadIdx.x]);
  else ldmatrix(r, s.word[threadIdx.x]);
  for (int i = 0; i < kCount; ++i) out[kCount * threadIdx.x + i] = r[i];
}

// in: of each lane 4 words of a, 2 of b, 4 of d.
template <class Mma>
__device__ void one_mma(uint32_t* out, const uint32_t* in, Mma mma) {
  const uint32_t* mine = in + 10 * threadIdx.x;
  const uint32_t a[4] = {mine[0], mine[1], mine[2], mine[3]};
  float d[4];
  for (int i = 0; i < 4; ++i) d[i] = __int_as_float(int(mine[6 + i]));
  mma(d, a, mine[4], mine[5]);
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = uint32_t(__float_as_int(d[i]));
}
struct Bf16 {
  __device__ void operator()(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) const { mma_bf16(d, a, b0, b1); }
};
struct F16 {
  __device__ void operator()(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) const { mma_f16(d, a, b0, b1); }
};
struct Tf32 {
  __device__ void operator()(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) const { mma_tf32(d, a, b0, b1); }
};
template <class Mma>
__global__ void __launch_bounds__(32) run_mma(uint32_t* out, const uint32_t* in) {
  one_mma(out, in, Mma{});
}

// Two groups of copies; lane l of the second copies zeros where its first word is odd.
__global__ void __launch_bounds__(32) run_copy_async(uint32_t* out, const uint32_t* in) {
  struct alignas(16) Smem {
    uint32_t word[2][32][4];
  };
  auto& s = shared<Smem>();
  const int l = int(threadIdx.x);
  copy_async_16(s.word[0][l], in + 4 * l);
  copy_async_commit();
  copy_async_16(s.word[1][l], in + 4 * l, in[4 * l] % 2 == 0);
  copy_async_commit();
  copy_async_wait<1>();
  for (int j = 0; j < 4; ++j) out[8 * l + j] = s.word[0][l][j];
  copy_async_wait<0>();
  __syncwarp();
  for (int j = 0; j < 4; ++j) out[8 * l + 4 + j] = s.word[1][31 - l][j];
}

__global__ void __launch_bounds__(32) run_to_tf32(uint32_t* out, const uint32_t* in) {
  out[threadIdx.x] = to_tf32(__int_as_float(int(in[threadIdx.x])));
}
__global__ void __launch_bounds__(32) run_pack_bf16(uint32_t* out, const uint32_t* in) {
  out[threadIdx.x] = pack_bf16(__int_as_float(int(in[2 * threadIdx.x])), __int_as_float(int(in[2 * threadIdx.x + 1])));
}

__global__ void __launch_bounds__(32) run_shuffles(uint32_t* out, const uint32_t* in) {
  const int l = int(threadIdx.x), source = int(in[32 + l] % 32), width = 1 << (in[64] % 6);
  const unsigned by = in[65] % 40;
  uint32_t* mine = out + 4 * l;
  mine[0] = __shfl_sync(kFullWarp, in[l], source, width);
  mine[1] = __shfl_xor_sync(kFullWarp, in[l], int(by % 32), width);
  mine[2] = __shfl_down_sync(kFullWarp, in[l], by, width);
  mine[3] = __shfl_up_sync(kFullWarp, in[l], by, width);
}
__global__ void __launch_bounds__(32) run_votes(uint32_t* out, const uint32_t* in) {
  const int l = int(threadIdx.x), p = int(in[l] % 2);
  uint32_t* mine = out + 4 * l;
  mine[0] = __ballot_sync(kFullWarp, p);
  mine[1] = uint32_t(__any_sync(kFullWarp, p)) + 2 * uint32_t(__all_sync(kFullWarp, p));
  mine[2] = 0;
  if (p) mine[2] = __ballot_sync(mine[0], in[l] % 4 == 1);
  mine[3] = uint32_t(__popc(in[l]) + __ffs(int(in[l])) + __clz(int(in[l])));
}
__global__ void __launch_bounds__(32) run_arithmetic(uint32_t* out, const uint32_t* in) {
  const uint32_t a = in[threadIdx.x], b = in[32 + threadIdx.x];
  uint32_t* mine = out + 3 * threadIdx.x;
  const float x = __int_as_float(int(a)), y = __int_as_float(int(b));
  mine[0] = __umulhi(a, b);
  mine[1] = uint32_t(__float_as_int(fmaf(x, y, x)));
  mine[2] = uint32_t(__float_as_int(max_nan(x, y)));
}

template <void (*kKernel)(uint32_t*, const uint32_t*)>
void run(Context& context, uint32_t* out, const uint32_t* in) {
  launch(kKernel, 1, 32, 0, context, out, in);
}

}  // namespace

std::span<const Wrapper> conformance_wrappers() {
  static const Wrapper all[] = {
      {"ldmatrix x1", 128, 32, Fill::bits, 0, run<run_ldmatrix<1, false>>},
      {"ldmatrix x2", 128, 64, Fill::bits, 0, run<run_ldmatrix<2, false>>},
      {"ldmatrix x4", 128, 128, Fill::bits, 0, run<run_ldmatrix<4, false>>},
      {"ldmatrix x1 trans", 128, 32, Fill::bits, 0, run<run_ldmatrix<1, true>>},
      {"ldmatrix x2 trans", 128, 64, Fill::bits, 0, run<run_ldmatrix<2, true>>},
      {"ldmatrix x4 trans", 128, 128, Fill::bits, 0, run<run_ldmatrix<4, true>>},
      {"mma bf16", 320, 128, Fill::bf16, 16, run<run_mma<Bf16>>, true},
      {"mma f16", 320, 128, Fill::f16, 16, run<run_mma<F16>>, true},
      {"mma tf32", 320, 128, Fill::floats, 8, run<run_mma<Tf32>>, true},
      {"cp.async", 128, 256, Fill::bits, 0, run<run_copy_async>},
      {"cvt tf32", 32, 32, Fill::bits, 0, run<run_to_tf32>},
      {"cvt bf16x2", 64, 32, Fill::bits, 0, run<run_pack_bf16>},
      {"shuffles", 66, 128, Fill::bits, 0, run<run_shuffles>},
      {"votes", 32, 128, Fill::bits, 0, run<run_votes>},
      {"arithmetic", 64, 96, Fill::floats, 0, run<run_arithmetic>},
  };
  return all;
}

}  // namespace graft::GRAFT_GPU
