// IEEE half and bfloat16 as storage: converted to and from float, round to nearest even.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/common/dtype.h"

namespace graft {

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float f) {
    const uint32_t u = std::bit_cast<uint32_t>(f);
    bits = std::isnan(f) ? uint16_t((u >> 16) | 0x40) : uint16_t((u + 0x7FFF + ((u >> 16) & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

struct Half {
  uint16_t bits = 0;
  Half() = default;
  explicit Half(float f) {
    const uint16_t sign = uint16_t(std::bit_cast<uint32_t>(f) >> 16 & 0x8000);
    const float a = std::fabs(f);
    if (!(a < 65520.0f)) bits = uint16_t(sign | (std::isnan(f) ? 0x7E00 : 0x7C00));
    else if (a < 0x1p-14f) bits = uint16_t(sign | uint16_t(std::nearbyint(double(a) * 0x1p24)));  // subnormal
    else {
      const uint32_t u = std::bit_cast<uint32_t>(a) - (112u << 23);
      bits = uint16_t(sign | uint16_t((u + 0xFFF + ((u >> 13) & 1)) >> 13));
    }
  }
  explicit operator float() const {
    const uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 0) return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(float(mantissa) * 0x1p-24f));
    const uint32_t e = exponent == 31 ? 255u << 23 : (exponent + 112) << 23;
    return std::bit_cast<float>(sign | e | mantissa << 13);
  }
};

template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<Half> {
  static constexpr DType value = DType::f16;
};
template <>
struct AccumulateOf<BFloat16> {
  using type = float;
};
template <>
struct AccumulateOf<Half> {
  using type = float;
};

}  // namespace graft
