// The sum behind every reduction and behind the gradient of every broadcast:
//   out[kept axes] = (sum over the other axes of x f) / divisor
// It is cut by shape alone into chunks, each chunk summed in order, then the chunks in order.
#pragma once
#include <array>

#include "kernels/common/context.h"

namespace graft {

struct SumRepeatsParams {
  std::array<int64_t, 4> dims;            // of x, which is contiguous
  std::array<int64_t, 4> out_strides;     // not 0 for a kept axis; out is contiguous
  std::array<int64_t, 4> factor_strides;  // of f in elements, innermost 0 or 1
  double divisor;
};

namespace cpu {
// f may be null: 1.
void sum_repeats(Context&, float* out, const float* x, const float* f, const SumRepeatsParams&);
}  // namespace cpu

}  // namespace graft
