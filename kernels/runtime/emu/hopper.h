// The instructions of kernels/common/cluster.h, tma.h and wgmma.h on the host: mbarrier.cpp, tma.cpp, wgmma.cpp.
//
// What is asynchronous arrives at the latest moment that PTX allows: a TMA load when somebody waits for its mbarrier and all
// arrivals have come, a TMA store and the sums of a wgmma at the wait. Until then destinations are NaN and belong to nobody,
// sources may not change. Misuse is a fault with the lines of both sides.
#pragma once
#include <cstdint>
#include <type_traits>

#include "kernels/common/half.h"
#include "kernels/runtime/emu/executor.h"
#include "kernels/runtime/emu/tensor_map.h"

namespace graft::emu {

inline bool device_is_hopper() { return true; }
inline int multiprocessors() { return 4; }  // so few that small problems go round

uint32_t shared_address(const void* shared);  // in the window of its block
int cluster_rank();
int cluster_size();
void cluster_arrive(Where = Where::current());
void cluster_wait(Where = Where::current());
inline void cluster_sync(Where w = Where::current()) { cluster_arrive(w), cluster_wait(w); }
void* in_block(const void* shared, int rank, Where);
template <class T>
T* cluster_address(T* p, int rank, Where w = Where::current()) {
  return static_cast<T*>(in_block(p, rank, w));
}

void mbarrier_init(uint64_t*, int arrivals, Where = Where::current());
void fence_mbarrier_init();
void fence_async();
void mbarrier_arrive(uint64_t*, Where = Where::current());
void mbarrier_arrive_expect(uint64_t*, int bytes, Where = Where::current());
void mbarrier_arrive_remote(uint64_t*, int rank, Where = Where::current());
void mbarrier_wait(uint64_t*, int parity, Where = Where::current());

// Coordinates, innermost first, and offsets of im2col.
struct Coordinates {
  int n = 0;
  int at[8];
  template <class... I>
  Coordinates(I... i) : n(int(sizeof...(I))), at{int(i)...} {}
};
void tma_load_box(void* shared, const TensorMap&, uint64_t* mbarrier, uint16_t mask, Coordinates, const void* pc);
void tma_store_box(const TensorMap&, const void* shared, Coordinates, const void* pc);
void tma_store_wait_groups(int pending);

// Not inlined: the return address is the place in the kernel.
template <class... I>
[[gnu::noinline]] void tma_load(void* shared, const TensorMap& map, uint64_t* b, I... at) {
  tma_load_box(shared, map, b, uint16_t(1u << cluster_rank()), {at...}, __builtin_return_address(0));
}
template <class... I>
[[gnu::noinline]] void tma_load_multicast(void* shared, const TensorMap& map, uint64_t* b, uint16_t mask, I... at) {
  tma_load_box(shared, map, b, mask, {at...}, __builtin_return_address(0));
}
template <class... I>
[[gnu::noinline]] void tma_load_im2col(void* shared, const TensorMap& map, uint64_t* b, I... at) {
  tma_load_box(shared, map, b, uint16_t(1u << cluster_rank()), {at...}, __builtin_return_address(0));
}
template <class... I>
[[gnu::noinline]] void tma_store(const TensorMap& map, const void* shared, I... at) {
  tma_store_box(map, shared, {at...}, __builtin_return_address(0));
}
void tma_store_commit();
template <int kPending>
void tma_store_wait_read() {
  tma_store_wait_groups(kPending);
}
template <int kPending>
void tma_store_wait() {
  tma_store_wait_groups(kPending);
}
inline void tma_prefetch(const TensorMap&) {}

struct WgmmaIssue {
  enum Type { bf16, f16, tf32 } type;
  int n;
  bool a_along_m, b_along_n;
  float* d;
  uint64_t a, b;
  const uint32_t* a_registers;  // instead of a
  bool accumulate;
  const void* pc;
};
void wgmma_issue(const WgmmaIssue&, Where);
void wgmma_fence_registers();
void wgmma_commit(Where = Where::current());
void wgmma_wait_groups(int pending, Where);
void set_registers(int count, bool increase, Where);

template <class T>
inline constexpr auto kWgmmaType = sizeof(T) == 4                ? WgmmaIssue::tf32
                                   : std::is_same_v<T, BFloat16> ? WgmmaIssue::bf16
                                                                 : WgmmaIssue::f16;
template <class T, Major kA, Major kB, size_t kCount>
[[gnu::noinline]] void wgmma(float (&d)[kCount], uint64_t a, uint64_t b, bool accumulate, Where w = Where::current()) {
  static_assert(kCount % 4 == 0 && kCount <= 128 && (sizeof(T) == 2 || (kA == Major::k && kB == Major::k)));
  wgmma_issue(
      {kWgmmaType<T>, 2 * int(kCount), kA == Major::mn, kB == Major::mn, d, a, b, nullptr, accumulate, __builtin_return_address(0)},
      w);
}
template <class T, Major kB, size_t kCount>
[[gnu::noinline]] void wgmma(float (&d)[kCount], const uint32_t (&a)[4], uint64_t b, bool accumulate, Where w = Where::current()) {
  static_assert(kCount % 4 == 0 && kCount <= 128 && (sizeof(T) == 2 || kB == Major::k));
  wgmma_issue({kWgmmaType<T>, 2 * int(kCount), false, kB == Major::mn, d, 0, b, a, accumulate, __builtin_return_address(0)}, w);
}
template <class... D>
void wgmma_fence(D&...) {
  wgmma_fence_registers();
}
// The place cannot be a default argument behind a pack.
template <int kPending>
void wgmma_wait(Where w = Where::current()) {
  wgmma_wait_groups(kPending, w);
}
template <int kPending, size_t kCount>
void wgmma_wait(float (&)[kCount], Where w = Where::current()) {
  wgmma_wait_groups(kPending, w);
}
template <int kPending, size_t kCount1, size_t kCount2>
void wgmma_wait(float (&)[kCount1], float (&)[kCount2], Where w = Where::current()) {
  wgmma_wait_groups(kPending, w);
}

template <int kCount>
void registers_increase(Where w = Where::current()) {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
  set_registers(kCount, true, w);
}
template <int kCount>
void registers_decrease(Where w = Where::current()) {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
  set_registers(kCount, false, w);
}

}  // namespace graft::emu
