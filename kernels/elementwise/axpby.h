// y = a x + b y, elementwise: scaling (b = 0: y is not read) and the addition of gradients (a = b = 1).
#pragma once
#include "kernels/common/context.h"

namespace graft {

struct AxpbyParams {
  double a, b;
  int64_t n;
};

template <class T>
using AxpbyForward = void(Context&, T* y, const T* x, const AxpbyParams&);

namespace cpu {
AxpbyForward<float> axpby_forward;
}

}  // namespace graft
