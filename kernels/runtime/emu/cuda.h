// The CUDA built-ins that kernels use, for g++ (see kernels/common/simt.h). Each takes the place it is called from.
#pragma once
#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "kernels/runtime/emu/executor.h"

#define __global__ [[maybe_unused]]
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __clz(int v) { return v ? __builtin_clz(unsigned(v)) : 32; }
inline int __float_as_int(float v) { return __builtin_bit_cast(int, v); }
inline float __int_as_float(int v) { return __builtin_bit_cast(float, v); }
template <class T>
T __ldg(const T* p) {
  return *p;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t{a} * b) >> 32); }

inline void __syncthreads(graft::emu::Where w = graft::emu::Where::current()) { graft::emu::barrier(0, 0, true, w); }
inline int __syncthreads_count(int p, graft::emu::Where w = graft::emu::Where::current()) {
  return graft::emu::barrier_count(p != 0, w);
}
inline int __syncthreads_or(int p, graft::emu::Where w = graft::emu::Where::current()) {
  return graft::emu::barrier_count(p != 0, w) > 0;
}
inline int __syncthreads_and(int p, graft::emu::Where w = graft::emu::Where::current()) {
  return graft::emu::barrier_count(p == 0, w) == 0;
}
inline void __syncwarp(unsigned mask = ~0u, graft::emu::Where w = graft::emu::Where::current()) {
  graft::emu::warp_op(graft::emu::WarpOp::sync, mask, 0, 0, w);
}
inline void __threadfence() { graft::emu::fence(); }
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) { graft::emu::yield(); }

inline unsigned __ballot_sync(unsigned mask, int p, graft::emu::Where w = graft::emu::Where::current()) {
  return unsigned(graft::emu::warp_op(graft::emu::WarpOp::ballot, mask, p != 0, 0, w));
}
inline int __any_sync(unsigned mask, int p, graft::emu::Where w = graft::emu::Where::current()) {
  return __ballot_sync(mask, p, w) != 0;
}
inline int __all_sync(unsigned mask, int p, graft::emu::Where w = graft::emu::Where::current()) {
  return __ballot_sync(mask, p == 0, w) == 0;
}

namespace graft::emu {

template <class T>
T shuffle(unsigned mask, T v, int source, Where w) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &v, sizeof(T));
  bits = warp_op(WarpOp::shuffle, mask, bits, source, w);
  std::memcpy(&v, &bits, sizeof(T));
  return v;
}
inline int lane() { return int((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32); }
// Lanes in groups of `width`: a source outside of the own group is the lane itself.
inline int in_group(int source, int width, int self) {
  return source / width == self / width && source >= 0 && source < 32 ? source : self;
}

// One OS thread runs all: a plain update is atomic. Not instrumented; atomic_access tells the detector.
template <class T, class F>
__attribute__((no_sanitize_thread, noinline)) T atomic(T* p, F f, Where w) {
  atomic_access(p, sizeof(T), w);
  const T old = *p;
  *p = f(old);
  return old;
}

}  // namespace graft::emu

template <class T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32, graft::emu::Where w = graft::emu::Where::current()) {
  return graft::emu::shuffle(mask, v, graft::emu::lane() / width * width + (source & (width - 1)), w);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int with, int width = 32, graft::emu::Where w = graft::emu::Where::current()) {
  const int lane = graft::emu::lane(), source = lane ^ with;  // an earlier group may be read, a later one not (PTX)
  return graft::emu::shuffle(mask, v, source < (lane / width + 1) * width ? source : lane, w);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, graft::emu::Where w = graft::emu::Where::current()) {
  const int lane = graft::emu::lane();
  return graft::emu::shuffle(mask, v, graft::emu::in_group(lane + int(by % 32), width, lane), w);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, graft::emu::Where w = graft::emu::Where::current()) {
  const int lane = graft::emu::lane(), source = lane - int(by % 32);  // its lower five bits count
  return graft::emu::shuffle(mask, v, source < lane / width * width ? lane : source, w);
}

#define GRAFT_EMU_ATOMIC(name, expression)                                                      \
  template <class T>                                                                            \
  T name(T* p, std::type_identity_t<T> v, graft::emu::Where w = graft::emu::Where::current()) { \
    return graft::emu::atomic(                                                                  \
        p, [v](T old) -> T { return expression; }, w);                                          \
  }
GRAFT_EMU_ATOMIC(atomicAdd, old + v)
GRAFT_EMU_ATOMIC(atomicSub, old - v)
GRAFT_EMU_ATOMIC(atomicExch, (void(old), v))
GRAFT_EMU_ATOMIC(atomicMin, v < old ? v : old)
GRAFT_EMU_ATOMIC(atomicMax, old < v ? v : old)
GRAFT_EMU_ATOMIC(atomicAnd, old& v)
GRAFT_EMU_ATOMIC(atomicOr, old | v)
GRAFT_EMU_ATOMIC(atomicXor, old ^ v)
GRAFT_EMU_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
GRAFT_EMU_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
#undef GRAFT_EMU_ATOMIC
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v, graft::emu::Where w = graft::emu::Where::current()) {
  return graft::emu::atomic(
      p, [=](T old) { return old == expected ? v : old; }, w);
}

namespace graft::emu {

template <class T>
inline const char shared_key = 0;  // its address names the type

// One object per type and block, NaN when the block starts.
template <class T>
T& shared(Where w = Where::current()) {
  static_assert(std::is_trivially_default_constructible_v<T>, "shared memory is not constructed");
  return *static_cast<T*>(shared_bytes(&shared_key<T>, sizeof(T), alignof(T), w));
}
template <class T>
T* dynamic_shared() {
  static_assert(alignof(T) <= 16);
  return static_cast<T*>(dynamic_shared_bytes());
}

inline void named_barrier_sync(int id, int threads, Where w = Where::current()) { barrier(id, threads, true, w); }
inline void named_barrier_arrive(int id, int threads, Where w = Where::current()) { barrier(id, threads, false, w); }

template <class... P, class... A>
void launch_cluster(void (*kernel)(P...), dim3 grid, dim3 cluster, dim3 block, size_t shared_bytes, const Context& context,
                    A... args) {
  struct Call {
    void (*kernel)(P...);
    std::tuple<P...> params;
  } call{kernel, {static_cast<P>(args)...}};
  run({reinterpret_cast<const void*>(kernel), grid, cluster, block, shared_bytes, &context, &call, sizeof(call),
       [](const Launch& l) {
         const Call& c = *static_cast<const Call*>(l.params);
         std::apply(c.kernel, c.params);
       }});
}
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, const Context& context, A... args) {
  launch_cluster(kernel, grid, dim3(), block, shared_bytes, context, args...);
}

}  // namespace graft::emu
