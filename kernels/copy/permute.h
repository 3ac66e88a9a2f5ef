// y[i0, i1, ...] = x[sum of i_d stride_d]: the axes of a contiguous tensor in another order.
#pragma once
#include <array>

#include "kernels/common/context.h"

namespace graft {

struct PermuteParams {
  std::array<int64_t, 6> dims{1, 1, 1, 1, 1, 1};  // of y, unused ones of size 1 in front
  std::array<int64_t, 6> strides{};               // of x in elements, in y's order
};

template <class T>
using PermuteForward = void(Context&, T* y, const T* x, const PermuteParams&);

namespace cpu {
PermuteForward<float> permute_forward;
}

}  // namespace graft
