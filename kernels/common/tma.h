// Copies of boxes of tensors between global and shared memory by the tensor memory accelerator (sm_90): one thread issues one,
// the hardware computes addresses, swizzles, and fills with zeros what lies outside. PTX ISA, "Data Movement:
// cp.async.bulk.tensor". Inline PTX under nvcc, kernels/runtime/emu/tma.cpp under g++.
//
//   tma_load(shared, map, b, c0, ..)     the box at coordinates c0 (innermost), c1, ... into shared memory. Its bytes, all of the
//                                        box, are counted on mbarrier b: b's phase needs an mbarrier_arrive_expect of their sum
//   tma_load_multicast(shared, map, b, mask, c0, ..)   to the same place of each block of the cluster whose bit is set, each
//                                        time counted on the mbarrier at b's place there
//   tma_load_im2col(shared, map, b, c, w, [h, [d,]] n, offset_w, [offset_h, [offset_d]])   see tensor_map.h
//   tma_store(map, shared, c0, ..)       from shared memory; what lies outside is not written
//   tma_store_commit(), tma_store_wait_read<n>(), tma_store_wait<n>()   groups of the thread, as with cp.async: all but the n
//                                        latest have read their source (it may be overwritten); have been written as well
//   tma_prefetch(map)                    the descriptor, ahead of its first use
//
// Shared addresses: multiples of 128 bytes, and of swizzle_alignment(). c0: at a multiple of 16 bytes, or the GPU says "illegal
// instruction"; the other coordinates anywhere, also outside. Whoever writes to shared memory with ordinary stores calls
// fence_async() before the barrier after which another thread lets tma_store read it. A block must not end before its
// stores have read.
#pragma once
#include "kernels/common/cluster.h"
#include "kernels/common/tensor_map.h"

#if defined(__CUDACC__)

namespace graft::cuda {

#define GRAFT_TMA(dim, coordinates, load_list, multicast_list, store_list, ...)                                                \
  __device__ inline void tma_load(void* shared, const TensorMap& map, uint64_t* b, coordinates) {                              \
    asm volatile("cp.async.bulk.tensor." dim ".shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, " load_list \
                 "], [%2];" ::"r"(shared_address(shared)),                                                                     \
                 "l"(&map), "r"(shared_address(b)), __VA_ARGS__                                                                \
                 : "memory");                                                                                                  \
  }                                                                                                                            \
  __device__ inline void tma_load_multicast(void* shared, const TensorMap& map, uint64_t* b, uint16_t mask, coordinates) {     \
    asm volatile("cp.async.bulk.tensor." dim                                                                                   \
                 ".shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, " multicast_list     \
                 "], [%2], %3;" ::"r"(shared_address(shared)),                                                                 \
                 "l"(&map), "r"(shared_address(b)), "h"(mask), __VA_ARGS__                                                     \
                 : "memory");                                                                                                  \
  }                                                                                                                            \
  __device__ inline void tma_store(const TensorMap& map, const void* shared, coordinates) {                                    \
    asm volatile("cp.async.bulk.tensor." dim ".global.shared::cta.tile.bulk_group [%0, " store_list "], [%1];" ::"l"(&map),    \
                 "r"(shared_address(shared)), __VA_ARGS__                                                                      \
                 : "memory");                                                                                                  \
  }
#define GRAFT_LIST(...) __VA_ARGS__
GRAFT_TMA("1d", GRAFT_LIST(int c0), "{%3}", "{%4}", "{%2}", "r"(c0))
GRAFT_TMA("2d", GRAFT_LIST(int c0, int c1), "{%3, %4}", "{%4, %5}", "{%2, %3}", "r"(c0), "r"(c1))
GRAFT_TMA("3d", GRAFT_LIST(int c0, int c1, int c2), "{%3, %4, %5}", "{%4, %5, %6}", "{%2, %3, %4}", "r"(c0), "r"(c1), "r"(c2))
GRAFT_TMA("4d", GRAFT_LIST(int c0, int c1, int c2, int c3), "{%3, %4, %5, %6}", "{%4, %5, %6, %7}", "{%2, %3, %4, %5}", "r"(c0),
          "r"(c1), "r"(c2), "r"(c3))
GRAFT_TMA("5d", GRAFT_LIST(int c0, int c1, int c2, int c3, int c4), "{%3, %4, %5, %6, %7}", "{%4, %5, %6, %7, %8}",
          "{%2, %3, %4, %5, %6}", "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4))
#undef GRAFT_TMA

#define GRAFT_TMA_IM2COL(dim, parameters, lists, ...)                                                                        \
  __device__ inline void tma_load_im2col(void* shared, const TensorMap& map, uint64_t* b, parameters) {                      \
    asm volatile("cp.async.bulk.tensor." dim ".shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, " lists \
                 ";" ::"r"(shared_address(shared)),                                                                          \
                 "l"(&map), "r"(shared_address(b)), __VA_ARGS__                                                              \
                 : "memory");                                                                                                \
  }
GRAFT_TMA_IM2COL("3d", GRAFT_LIST(int c, int w, int n, int offset_w), "{%3, %4, %5}], [%2], {%6}", "r"(c), "r"(w), "r"(n),
                 "h"(uint16_t(offset_w)))
GRAFT_TMA_IM2COL("4d", GRAFT_LIST(int c, int w, int h, int n, int offset_w, int offset_h), "{%3, %4, %5, %6}], [%2], {%7, %8}",
                 "r"(c), "r"(w), "r"(h), "r"(n), "h"(uint16_t(offset_w)), "h"(uint16_t(offset_h)))
GRAFT_TMA_IM2COL("5d", GRAFT_LIST(int c, int w, int h, int d, int n, int offset_w, int offset_h, int offset_d),
                 "{%3, %4, %5, %6, %7}], [%2], {%8, %9, %10}", "r"(c), "r"(w), "r"(h), "r"(d), "r"(n), "h"(uint16_t(offset_w)),
                 "h"(uint16_t(offset_h)), "h"(uint16_t(offset_d)))
#undef GRAFT_TMA_IM2COL
#undef GRAFT_LIST

__device__ inline void tma_store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int kPending>
__device__ inline void tma_store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}
template <int kPending>
__device__ inline void tma_store_wait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kPending) : "memory");
}
__device__ inline void tma_prefetch(const TensorMap& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory"); }

}  // namespace graft::cuda
#endif

namespace graft::GRAFT_GPU {

// A struct of tiles as all of the dynamic shared memory, at its own alignment: CUDA promises 16 bytes. Launch with
// aligned_shared_bytes<T>. (The extern array is not declared with 1024: that would round up the size of every kernel of the file.)
template <class T>
inline constexpr size_t aligned_shared_bytes = sizeof(T) + alignof(T) - 16;
template <class T>
__device__ T& aligned_shared() {
  char* const p = reinterpret_cast<char*>(dynamic_shared<float4>());
  return *reinterpret_cast<T*>(p + (-shared_address(p) & (unsigned(alignof(T)) - 1)));
}

}  // namespace graft::GRAFT_GPU
