// The square of the norm of many tensors taken as one vector: what gradients are clipped by.
#pragma once
#include <span>

#include "kernels/common/context.h"

namespace graft {

template <class T>
struct NormTensor {
  const T* x;
  int64_t n;
};

struct GlobalNormParams {
  bool more = false;  // add to squares, which holds the sum of other tensors (of another type)
};

// squares[1] = sum of x^2 over all elements of all tensors.
template <class T>
using GlobalNormForward = void(Context&, double* squares, std::span<const NormTensor<T>>, const GlobalNormParams&);

namespace cpu {
GlobalNormForward<float> global_norm_forward;
}

}  // namespace graft
