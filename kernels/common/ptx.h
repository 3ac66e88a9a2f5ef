// One wrapper per PTX instruction, inline PTX under nvcc and the executor's counterpart (kernels/runtime/emu/ptx.h) under
// g++; `asm` for these stands nowhere else (Hopper's are in cluster.h, tma.h and wgmma.h). Names and layouts are those of the PTX
// ISA, chapters "Data Movement" and "Warp-level Matrix Instructions"; sm_80 and newer. With lane = 4 g + t, the elements of a lane
// are
//
//   a  m16 k16 (16 bits)   a[0] (g, 2t..2t+1)   a[1] (g+8, 2t..)   a[2] (g, 2t+8..)   a[3] (g+8, 2t+8..)
//   b  k16 n8  (16 bits)   b0 (2t..2t+1, g)     b1 (2t+8.., g)          the lower half of a register is the lower index
//   a  m16 k8  (tf32)      a[0] (g, t)          a[1] (g+8, t)      a[2] (g, t+4)      a[3] (g+8, t+4)
//   b  k8 n8   (tf32)      b0 (t, g)            b1 (t+4, g)
//   d  m16 n8  (f32)       d[0..1] (g, 2t..2t+1)                   d[2..3] (g+8, 2t..2t+1)
//
//   copy_async_16(shared, global, inside)  16 aligned bytes, or zeros where !inside (global is not read then)
//   copy_async_commit()                    what this thread has copied since becomes one group
//   copy_async_wait<n>()                   all but the thread's n latest groups have arrived: for this thread; for others
//                                          after a barrier as well
//   ldmatrix(r, row), ldmatrix_trans       r[i]: matrix i of 8 rows of 16 bytes; lane 8 i + j gives the address of its row j
//   stmatrix(row, r), stmatrix_trans       the inverse: lane 8 i + j stores row j of matrix i, all lanes give r (sm_90)
//   mma_bf16, mma_f16, mma_tf32            d += a b, fp32 sums. Products are exact; how their sum is rounded is not documented
//   to_tf32(x)                             nearest of 11 significant bits, ties away from zero; mma_tf32 itself cuts
//   pack_bf16(low, high)                   round to nearest even
//   whole(p)                               p, an address in global memory that the compiler keeps as one value, not as the terms of
//                                          its sum: fewer registers live through a loop, stores of vectors that nvcc 13 would
//                                          take apart; no instruction
//   recomputed(x)                          x, which the compiler cannot know to be the same in the next round of a loop: what is
//                                          made of it is made again there, and takes no registers in between; no instruction
//   exp2_fast(x)                           2^x within 2 units of 2^-23, denormal results are zeros
#pragma once
#include "kernels/common/half.h"
#include "kernels/common/simt.h"

#if !defined(__CUDACC__)
#include "kernels/runtime/emu/ptx.h"
#else

namespace graft::cuda {

__device__ inline unsigned shared_address(const void* p) { return unsigned(__cvta_generic_to_shared(p)); }

template <class T>
__device__ inline T* whole(T* p) {
  asm("" : "+l"(p));
  __builtin_assume(__isGlobal(p));  // which it no longer knows
  return p;
}
__device__ inline int recomputed(int x) {
  asm volatile("" : "+r"(x));
  return x;
}
__device__ inline void copy_async_16(void* shared, const void* global, bool inside = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(inside ? 16 : 0)
               : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

#define GRAFT_LDMATRIX(function, trans)                                                      \
  __device__ inline void function(uint32_t(&r)[1], const void* row) {                        \
    asm volatile("ldmatrix.sync.aligned.m8n8.x1" trans ".shared.b16 {%0}, [%1];"             \
                 : "=r"(r[0])                                                                \
                 : "r"(shared_address(row))                                                  \
                 : "memory");                                                                \
  }                                                                                          \
  __device__ inline void function(uint32_t(&r)[2], const void* row) {                        \
    asm volatile("ldmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 {%0, %1}, [%2];"         \
                 : "=r"(r[0]), "=r"(r[1])                                                    \
                 : "r"(shared_address(row))                                                  \
                 : "memory");                                                                \
  }                                                                                          \
  __device__ inline void function(uint32_t(&r)[4], const void* row) {                        \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" trans ".shared.b16 {%0, %1, %2, %3}, [%4];" \
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                            \
                 : "r"(shared_address(row))                                                  \
                 : "memory");                                                                \
  }
GRAFT_LDMATRIX(ldmatrix, "")
GRAFT_LDMATRIX(ldmatrix_trans, ".trans")
#undef GRAFT_LDMATRIX

#define GRAFT_STMATRIX(function, trans)                                                                                     \
  __device__ inline void function(void* row, const uint32_t(&r)[1]) {                                                       \
    asm volatile("stmatrix.sync.aligned.m8n8.x1" trans ".shared.b16 [%0], {%1};" ::"r"(shared_address(row)), "r"(r[0])      \
                 : "memory");                                                                                               \
  }                                                                                                                         \
  __device__ inline void function(void* row, const uint32_t(&r)[2]) {                                                       \
    asm volatile("stmatrix.sync.aligned.m8n8.x2" trans ".shared.b16 [%0], {%1, %2};" ::"r"(shared_address(row)), "r"(r[0]), \
                 "r"(r[1])                                                                                                  \
                 : "memory");                                                                                               \
  }                                                                                                                         \
  __device__ inline void function(void* row, const uint32_t(&r)[4]) {                                                       \
    asm volatile("stmatrix.sync.aligned.m8n8.x4" trans ".shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)),    \
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])                                                                 \
                 : "memory");                                                                                               \
  }
GRAFT_STMATRIX(stmatrix, "")
GRAFT_STMATRIX(stmatrix_trans, ".trans")
#undef GRAFT_STMATRIX

#define GRAFT_MMA(function, kind)                                                                            \
  __device__ inline void function(float(&d)[4], const uint32_t(&a)[4], uint32_t b0, uint32_t b1) {           \
    asm volatile("mma.sync.aligned." kind " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                            \
  }
GRAFT_MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
GRAFT_MMA(mma_f16, "m16n8k16.row.col.f32.f16.f16.f32")
GRAFT_MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef GRAFT_MMA

__device__ inline uint32_t to_tf32(float x) {
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ inline uint32_t pack_bf16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
__device__ inline float exp2_fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

}  // namespace graft::cuda
#endif

namespace graft::GRAFT_GPU {

__device__ inline float to_float(float v) { return v; }
__device__ inline float to_float(BFloat16 v) { return __int_as_float(int(unsigned(v.bits) << 16)); }
template <class T>
__device__ inline T from_float(float v) {
  if constexpr (sizeof(T) == 4) {
    return v;
  } else {
    T r;
    r.bits = uint16_t(pack_bf16(v, 0));
    return r;
  }
}

}  // namespace graft::GRAFT_GPU
