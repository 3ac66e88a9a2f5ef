// Matrix products of a warpgroup, 128 threads, from shared memory (sm_90a): PTX ISA, "Asynchronous Warpgroup Level Matrix
// Instructions". Inline PTX under nvcc, kernels/runtime/emu/wgmma.cpp under g++. Files that use it compile for sm_80 too: the body
// of a kernel stands in #if defined(GRAFT_SM_90A).
//
//   wgmma<T, kA, kB>(d, a, b, accumulate)   d[64, n] = a[64, k] b[k, n] (+ d): fp32 sums; T BFloat16 or Half with k = 16, float
//   with
//                                           k = 8 (as tf32: low bits are cut). n is twice the length of d. a, b: descriptors; a may
//                                           be four registers instead. kA, kB: which dimension is contiguous, Major::k or (16 bits
//                                           only) Major::mn, m of a, n of b
//   wgmma_fence(d, ..)                      before the first one, and again where d or a in registers was written by anything else
//   wgmma_commit(), wgmma_wait<n>(d, ..)    groups: all but the n latest are done. Until then nobody touches d, or what they read
//   matrix_descriptor(p, swizzle, leading, stride)   where an operand lies in shared memory; both distances in bytes
//   device_is_hopper()                      for supports(): whether the current device has these instructions
//   multiprocessors()                       of the current device: blocks of kernels that take one item of work after another
//   same_in_warp(x), warpgroup_index()      what the compiler cannot know to be the same in a warp. Descriptors made of such values
//                                           live in uniform registers, where wgmma reads them; others are copied there each time
//   registers_increase<n>(), registers_decrease<n>()  setmaxnreg: all threads of a warpgroup; n per thread, a multiple of 8.
//                                           The kernel's __launch_bounds__(threads, 1) has to say 1
//
// Layouts ("Shared Memory Matrix Layout: Canonical Layouts"), in chunks of 16 bytes, width W = 32, 64 or 128 bytes of the swizzle:
//   Major::k   eight rows of m (n) lie W bytes apart, in each row k is contiguous; `stride` to the next eight rows. No swizzle: the
//              eight rows lie 16 bytes apart, `leading` from one chunk of k to the next. A step along k inside of W adds its bytes
//              to p
//   Major::mn  eight lines of k lie W bytes apart, in each line m (n) is contiguous for W bytes; `leading` to the next W bytes of
//              m (n), `stride` to the next eight lines of k. No swizzle: chunks of eight m (n) by eight k, k 16 bytes apart;
//              `stride` to the next chunk along m (n), `leading` along k
// and then the swizzle of tensor_map.h on the address: boxes that TMA has loaded with rows of W bytes are operands as they are.
// Patterns begin at their alignment, where TMA lays them (the base offset of the descriptor stays 0); the operand may begin in any
// of their lines, since the swizzle is one of addresses: lines of one tile make many operands (kernels/conv2d/halo_kernels.cuh).
// (An H200 agrees: bench/results.)
//
// Fragments, with warp w of the warpgroup and lane = 4 g + t ("Register Fragments"):
//   d[i]   row 16 w + g + 8 (i / 2 % 2), column 8 (i / 4) + 2 t + i % 2
//   a[i]   as in mma (ptx.h), rows 16 w + ...
#pragma once
#include <type_traits>

#include "kernels/common/tma.h"

#if defined(__CUDACC__)
#include "kernels/runtime/cuda/capability.h"
// In device code of sm_90a: its instructions exist nowhere else.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GRAFT_SM_90A
#endif

namespace graft::cuda {

// The compiler must not move what it does with d across: an asm that might change it.
template <int kCount>
__device__ inline void keep_registers(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

template <class... D>
__device__ inline void wgmma_fence(D&... d) {
  (keep_registers(d), ...);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending, class... D>
__device__ inline void wgmma_wait(D&... d) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  (keep_registers(d), ...);
}

template <int kCount>
__device__ inline void registers_increase() {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void registers_decrease() {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// The registers of d in an asm string, eight at a time, and as operands.
#define GRAFT_REGISTERS_0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define GRAFT_REGISTERS_1 "%8, %9, %10, %11, %12, %13, %14, %15"
#define GRAFT_REGISTERS_2 "%16, %17, %18, %19, %20, %21, %22, %23"
#define GRAFT_REGISTERS_3 "%24, %25, %26, %27, %28, %29, %30, %31"
#define GRAFT_REGISTERS_4 "%32, %33, %34, %35, %36, %37, %38, %39"
#define GRAFT_REGISTERS_5 "%40, %41, %42, %43, %44, %45, %46, %47"
#define GRAFT_REGISTERS_6 "%48, %49, %50, %51, %52, %53, %54, %55"
#define GRAFT_REGISTERS_7 "%56, %57, %58, %59, %60, %61, %62, %63"
#define GRAFT_REGISTERS_8 "%64, %65, %66, %67, %68, %69, %70, %71"
#define GRAFT_REGISTERS_9 "%72, %73, %74, %75, %76, %77, %78, %79"
#define GRAFT_REGISTERS_10 "%80, %81, %82, %83, %84, %85, %86, %87"
#define GRAFT_REGISTERS_11 "%88, %89, %90, %91, %92, %93, %94, %95"
#define GRAFT_REGISTERS_12 "%96, %97, %98, %99, %100, %101, %102, %103"
#define GRAFT_REGISTERS_13 "%104, %105, %106, %107, %108, %109, %110, %111"
#define GRAFT_REGISTERS_14 "%112, %113, %114, %115, %116, %117, %118, %119"
#define GRAFT_REGISTERS_15 "%120, %121, %122, %123, %124, %125, %126, %127"
#define GRAFT_D8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define GRAFT_D16(i) GRAFT_D8(i), GRAFT_D8(i + 8)
#define GRAFT_D32(i) GRAFT_D16(i), GRAFT_D16(i + 16)
#define GRAFT_D64(i) GRAFT_D32(i), GRAFT_D32(i + 32)
#define GRAFT_LIST(...) __VA_ARGS__

#define GRAFT_WGMMA_ASM(shape, registers, operands, p, arguments, ...)                                              \
  asm volatile("{\n.reg .pred sum;\nsetp.ne.b32 sum, " p ", 0;\nwgmma.mma_async.sync.aligned." shape " {" registers \
               "}, " arguments ";\n}"                                                                               \
               : operands                                                                                           \
               : __VA_ARGS__)

// n, half of it, and the numbers of the operands behind d: o0 = n / 2, o1, ...
#define GRAFT_WGMMA(n, count, registers, operands, o0, o1, o2, o3, o4, o5, o6)                                                     \
  template <class T, Major kA, Major kB>                                                                                           \
  __device__ inline void wgmma(float(&d)[count], uint64_t a, uint64_t b, bool accumulate) {                                        \
    static_assert(sizeof(T) == 2 || (kA == Major::k && kB == Major::k), "tf32 has both operands along k");                         \
    if constexpr (std::is_same_v<T, BFloat16>)                                                                                     \
      GRAFT_WGMMA_ASM("m64n" #n "k16.f32.bf16.bf16", registers, GRAFT_LIST(operands), o2, o0 ", " o1 ", sum, 1, 1, " o3 ", " o4,   \
                      "l"(a), "l"(b), "r"(int(accumulate)), "n"(int(kA)), "n"(int(kB)));                                           \
    else if constexpr (std::is_same_v<T, Half>)                                                                                    \
      GRAFT_WGMMA_ASM("m64n" #n "k16.f32.f16.f16", registers, GRAFT_LIST(operands), o2, o0 ", " o1 ", sum, 1, 1, " o3 ", " o4,     \
                      "l"(a), "l"(b), "r"(int(accumulate)), "n"(int(kA)), "n"(int(kB)));                                           \
    else                                                                                                                           \
      GRAFT_WGMMA_ASM("m64n" #n "k8.f32.tf32.tf32", registers, GRAFT_LIST(operands), o2, o0 ", " o1 ", sum, 1, 1", "l"(a), "l"(b), \
                      "r"(int(accumulate)));                                                                                       \
  }                                                                                                                                \
  template <class T, Major kB>                                                                                                     \
  __device__ inline void wgmma(float(&d)[count], const uint32_t(&a)[4], uint64_t b, bool accumulate) {                             \
    static_assert(sizeof(T) == 2 || kB == Major::k, "tf32 has both operands along k");                                             \
    if constexpr (std::is_same_v<T, BFloat16>)                                                                                     \
      GRAFT_WGMMA_ASM("m64n" #n "k16.f32.bf16.bf16", registers, GRAFT_LIST(operands), o5,                                          \
                      "{" o0 ", " o1 ", " o2 ", " o3 "}, " o4 ", sum, 1, 1, " o6, "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),      \
                      "l"(b), "r"(int(accumulate)), "n"(int(kB)));                                                                 \
    else if constexpr (std::is_same_v<T, Half>)                                                                                    \
      GRAFT_WGMMA_ASM("m64n" #n "k16.f32.f16.f16", registers, GRAFT_LIST(operands), o5,                                            \
                      "{" o0 ", " o1 ", " o2 ", " o3 "}, " o4 ", sum, 1, 1, " o6, "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),      \
                      "l"(b), "r"(int(accumulate)), "n"(int(kB)));                                                                 \
    else                                                                                                                           \
      GRAFT_WGMMA_ASM("m64n" #n "k8.f32.tf32.tf32", registers, GRAFT_LIST(operands), o5,                                           \
                      "{" o0 ", " o1 ", " o2 ", " o3 "}, " o4 ", sum, 1, 1", "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),   \
                      "r"(int(accumulate)));                                                                                       \
  }
#define GRAFT_REGISTERS_OF_8 GRAFT_REGISTERS_0
#define GRAFT_REGISTERS_OF_16 GRAFT_REGISTERS_OF_8 ", " GRAFT_REGISTERS_1
#define GRAFT_REGISTERS_OF_32 GRAFT_REGISTERS_OF_16 ", " GRAFT_REGISTERS_2 ", " GRAFT_REGISTERS_3
#define GRAFT_REGISTERS_OF_48 GRAFT_REGISTERS_OF_32 ", " GRAFT_REGISTERS_4 ", " GRAFT_REGISTERS_5
#define GRAFT_REGISTERS_OF_64 GRAFT_REGISTERS_OF_48 ", " GRAFT_REGISTERS_6 ", " GRAFT_REGISTERS_7
#define GRAFT_REGISTERS_OF_96 \
  GRAFT_REGISTERS_OF_64 ", " GRAFT_REGISTERS_8 ", " GRAFT_REGISTERS_9 ", " GRAFT_REGISTERS_10 ", " GRAFT_REGISTERS_11
#define GRAFT_REGISTERS_OF_104 GRAFT_REGISTERS_OF_96 ", " GRAFT_REGISTERS_12
#define GRAFT_REGISTERS_OF_112 GRAFT_REGISTERS_OF_104 ", " GRAFT_REGISTERS_13
#define GRAFT_REGISTERS_OF_120 GRAFT_REGISTERS_OF_112 ", " GRAFT_REGISTERS_14
#define GRAFT_REGISTERS_OF_128 GRAFT_REGISTERS_OF_120 ", " GRAFT_REGISTERS_15
GRAFT_WGMMA(16, 8, GRAFT_REGISTERS_OF_8, GRAFT_LIST(GRAFT_D8(0)), "%8", "%9", "%10", "%11", "%12", "%13", "%14")
GRAFT_WGMMA(32, 16, GRAFT_REGISTERS_OF_16, GRAFT_LIST(GRAFT_D16(0)), "%16", "%17", "%18", "%19", "%20", "%21", "%22")
GRAFT_WGMMA(64, 32, GRAFT_REGISTERS_OF_32, GRAFT_LIST(GRAFT_D32(0)), "%32", "%33", "%34", "%35", "%36", "%37", "%38")
GRAFT_WGMMA(96, 48, GRAFT_REGISTERS_OF_48, GRAFT_LIST(GRAFT_D32(0), GRAFT_D16(32)), "%48", "%49", "%50", "%51", "%52", "%53", "%54")
GRAFT_WGMMA(128, 64, GRAFT_REGISTERS_OF_64, GRAFT_LIST(GRAFT_D64(0)), "%64", "%65", "%66", "%67", "%68", "%69", "%70")
GRAFT_WGMMA(192, 96, GRAFT_REGISTERS_OF_96, GRAFT_LIST(GRAFT_D64(0), GRAFT_D32(64)), "%96", "%97", "%98", "%99", "%100", "%101",
            "%102")
GRAFT_WGMMA(208, 104, GRAFT_REGISTERS_OF_104, GRAFT_LIST(GRAFT_D64(0), GRAFT_D32(64), GRAFT_D8(96)), "%104", "%105", "%106", "%107",
            "%108", "%109", "%110")
GRAFT_WGMMA(224, 112, GRAFT_REGISTERS_OF_112, GRAFT_LIST(GRAFT_D64(0), GRAFT_D32(64), GRAFT_D16(96)), "%112", "%113", "%114",
            "%115", "%116", "%117", "%118")
GRAFT_WGMMA(240, 120, GRAFT_REGISTERS_OF_120, GRAFT_LIST(GRAFT_D64(0), GRAFT_D32(64), GRAFT_D16(96), GRAFT_D8(112)), "%120", "%121",
            "%122", "%123", "%124", "%125", "%126")
GRAFT_WGMMA(256, 128, GRAFT_REGISTERS_OF_128, GRAFT_LIST(GRAFT_D64(0), GRAFT_D64(64)), "%128", "%129", "%130", "%131", "%132",
            "%133", "%134")
#undef GRAFT_WGMMA
#undef GRAFT_WGMMA_ASM
#undef GRAFT_LIST

}  // namespace graft::cuda
#else
#define GRAFT_SM_90A
#endif

namespace graft::GRAFT_GPU {

__device__ inline int same_in_warp(int x) { return __shfl_sync(kFullWarp, x, 0); }
__device__ inline int warpgroup_index() { return same_in_warp(int(threadIdx.x) / 128); }

// Bits ("Matrix Descriptor Format"): 0-13 address, 16-29 leading, 32-45 stride, each without its four low bits; 49-51 base offset;
// 62-63 swizzle: 0 none, 1 of 128 bytes, 2 of 64, 3 of 32.
__device__ inline uint64_t matrix_descriptor(const void* p, Swizzle swizzle, int leading, int stride) {
  const auto bits = [](unsigned bytes) { return uint64_t{bytes & 0x3ffff} >> 4; };
  const uint64_t mode = swizzle == Swizzle::none ? 0 : 4 - uint64_t(swizzle);
  return bits(shared_address(p)) | bits(unsigned(leading)) << 16 | bits(unsigned(stride)) << 32 | mode << 62;
}

}  // namespace graft::GRAFT_GPU
