// The instructions of kernels/common/ptx.h on the host. A cp.async writes NaN at once and its bytes at the wait, the latest
// moment that PTX allows; who touches them between has a fault. An mma adds up exactly and rounds once: tensor cores cut
// bits below some 24 of the largest addend, so results differ from a GPU's in the last places.
#pragma once
#include "kernels/common/half.h"
#include "kernels/runtime/emu/executor.h"

namespace graft::emu {

void copy_async_16(void* shared, const void* global, bool inside = true);
template <class T>
T* whole(T* p) {
  return p;
}
void copy_async_commit();
void copy_async_wait_groups(int pending);
template <int kPending>
void copy_async_wait() {
  copy_async_wait_groups(kPending);
}

void ldmatrix(uint32_t (&r)[1], const void* row, Where = Where::current());
void ldmatrix(uint32_t (&r)[2], const void* row, Where = Where::current());
void ldmatrix(uint32_t (&r)[4], const void* row, Where = Where::current());
void ldmatrix_trans(uint32_t (&r)[1], const void* row, Where = Where::current());
void ldmatrix_trans(uint32_t (&r)[2], const void* row, Where = Where::current());
void ldmatrix_trans(uint32_t (&r)[4], const void* row, Where = Where::current());

void stmatrix(void* row, const uint32_t (&r)[1], Where = Where::current());
void stmatrix(void* row, const uint32_t (&r)[2], Where = Where::current());
void stmatrix(void* row, const uint32_t (&r)[4], Where = Where::current());
void stmatrix_trans(void* row, const uint32_t (&r)[1], Where = Where::current());
void stmatrix_trans(void* row, const uint32_t (&r)[2], Where = Where::current());
void stmatrix_trans(void* row, const uint32_t (&r)[4], Where = Where::current());

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where = Where::current());
void mma_f16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where = Where::current());
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Where = Where::current());

inline uint32_t to_tf32(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x), cut = u & 0xffffe000u;
  if (std::isfinite(x)) return (u + 0x1000) & 0xffffe000u;
  return std::isnan(x) && std::isinf(std::bit_cast<float>(cut)) ? 0x7fffffffu : cut;  // a NaN keeps what is left of its payload
}
inline int recomputed(int x) { return x; }
inline float exp2_fast(float x) { return x < -126 ? 0 : std::exp2(x); }
inline uint32_t pack_bf16(float low, float high) {
  const auto bits = [](float x) { return std::isnan(x) ? 0x7fffu : uint32_t{BFloat16(x).bits}; };  // as the GPU does
  return bits(low) | bits(high) << 16;
}

}  // namespace graft::emu
