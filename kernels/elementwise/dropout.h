// Inverted dropout (Srivastava et al. 2014): y[i] = x[i] / (1 - p) with probability 1 - p, else 0 x[i].
// Element i is dropped when stream.uniform(i) < p: the same elements on every backend. No mask is kept: the backward
// pass is the forward pass on dy with the same stream. (0 times a NaN is a NaN: a diverged run must be seen.)
#pragma once
#include <cmath>

#include "kernels/common/context.h"
#include "kernels/common/philox.h"

namespace graft {

struct DropoutParams {
  double p;  // in [0, 1)
  Philox stream;
  int64_t n;
};

// uniform(i) < p exactly when the upper 24 bits of word(i) are below this.
inline uint32_t dropout_threshold(double p) { return uint32_t(std::ceil(p * 0x1p24)); }

// y[n], x[n]; y may be x.
template <class T>
using DropoutForward = void(Context&, T* y, const T* x, const DropoutParams&);

namespace cpu {
DropoutForward<float> dropout_forward;
}

}  // namespace graft
