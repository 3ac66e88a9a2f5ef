// Division of an index by a number that is the same for all threads: a multiplication and a shift instead of some 20
// instructions (Granlund & Montgomery 1994, "Division by Invariant Integers using Multiplication").
#pragma once
#include <bit>
#include <cstdint>

#include "kernels/common/simt.h"

namespace graft {

class Divisor {
 public:
  // 1 <= d; 0 counts as 1 (a divisor of no indices).
  explicit Divisor(int64_t d)
      : divisor_(d < 1 ? 1 : uint32_t(d)),
        shift_(31 + std::bit_width(divisor_ - 1)),
        multiplier_(uint32_t(((uint64_t{1} << shift_) + divisor_ - 1) / divisor_)) {}

  __host__ __device__ int quotient(int n) const { return int(uint64_t(unsigned(n)) * multiplier_ >> shift_); }  // n >= 0
  __host__ __device__ int remainder(int n) const { return n - quotient(n) * int(divisor_); }
  __host__ __device__ int divisor() const { return int(divisor_); }

 private:
  uint32_t divisor_, shift_, multiplier_;
};

}  // namespace graft
