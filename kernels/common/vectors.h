// How memory-bound kernels read and write: as floats whatever the type in memory, and 16 bytes an access where the address
// allows. A warp of 16-byte accesses moves four whole lines an instruction; more than that no thread can ask for at once.
#pragma once
#include "kernels/common/ptx.h"
#include "kernels/common/simt.h"

namespace graft::GRAFT_GPU {

template <class T>
inline constexpr int kVector = 16 / int(sizeof(T));  // elements of 16 bytes: 4 of f32, 8 of bf16

// Whether every pointer (null ones included) is a multiple of 16.
template <class... T>
bool aligned_16(const T*... p) {
  return ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...);
}

__device__ inline float bits_to_float(unsigned bits) { return __int_as_float(int(bits)); }
__device__ inline unsigned float_to_bits(float v) { return unsigned(__float_as_int(v)); }

// The columns [begin, end) of a row that lie in whole vectors, where the row may begin and end between two.
template <class T>
struct WholeVectors {
  int64_t begin, end;
  __device__ WholeVectors(const T* row, int64_t cols) {
    const int64_t behind = int64_t(reinterpret_cast<uintptr_t>(row) / sizeof(T)) % kVector<T>;
    begin = behind == 0 ? 0 : kVector<T> - behind;
    if (begin > cols) begin = cols;
    end = begin + (cols - begin) / kVector<T> * kVector<T>;
  }
};

// 16 bytes as they lie in memory: what waits for its use takes four registers, not the eight of bf16's floats.
template <class T>
__device__ inline uint4 load_packed(const T* p) {
  return *reinterpret_cast<const uint4*>(p);
}
template <class T>
__device__ inline void unpack(float* v, const uint4& u) {
  const unsigned word[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if constexpr (sizeof(T) == 4) v[j] = bits_to_float(word[j]);
    else v[2 * j] = bits_to_float(word[j] << 16), v[2 * j + 1] = bits_to_float(word[j] & 0xffff0000u);
  }
}

// kWidth elements at p, a multiple of 16 bytes; kWidth a multiple of kVector<T>, or 1 for any address.
template <int kWidth, class T>
__device__ inline void load(float (&v)[kWidth], const T* p) {
  if constexpr (kWidth == 1) {
    v[0] = to_float(*p);
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; i += kVector<T>) unpack<T>(v + i, load_packed(p + i));
  }
}

template <int kWidth, class T>
__device__ inline void store(T* p, const float (&v)[kWidth]) {
  if constexpr (kWidth == 1) {
    *p = from_float<T>(v[0]);
  } else {
#pragma unroll
    for (int i = 0; i < kWidth; i += kVector<T>) {
      unsigned word[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if constexpr (sizeof(T) == 4) word[j] = float_to_bits(v[i + j]);
        else word[j] = pack_bf16(v[i + 2 * j], v[i + 2 * j + 1]);
      }
      *reinterpret_cast<uint4*>(p + i) = make_uint4(word[0], word[1], word[2], word[3]);
    }
  }
}

}  // namespace graft::GRAFT_GPU
