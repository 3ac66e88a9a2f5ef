// Element types and backends: the two enums that every layer above shares.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace graft {

enum class DType : uint8_t { f32, f64, f16, bf16, i32, i64, u8 };
inline constexpr int kDTypes = 7;

// Who computes: `ref` scalar loops (the oracle), `cpu` SIMD and threads, `cuda` the GPU, `emu` the CUDA kernels on the host.
enum class Backend : uint8_t { ref, cpu, cuda, emu };
inline constexpr int kBackends = 4;

constexpr size_t dtype_size(DType t) {
  switch (t) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16:
    case DType::bf16: return 2;
    case DType::u8: return 1;
  }
  return 0;
}

constexpr std::string_view name(DType t) {
  constexpr std::string_view kNames[] = {"f32", "f64", "f16", "bf16", "i32", "i64", "u8"};
  return kNames[static_cast<int>(t)];
}

constexpr std::string_view name(Backend b) {
  constexpr std::string_view kNames[] = {"ref", "cpu", "cuda", "emu"};
  return kNames[static_cast<int>(b)];
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// What sums over T are kept in, and what is as long as a row but not as an activation (statistics, log-sum-exp, the
// weights of a norm): T itself, float where T is only a way to store (kernels/common/half.h).
template <class T>
struct AccumulateOf {
  using type = T;
};
template <class T>
using Accumulate = typename AccumulateOf<T>::type;
constexpr DType accumulate(DType t) { return t == DType::f16 || t == DType::bf16 ? DType::f32 : t; }

}  // namespace graft
