// Fractional differencing of order d (Granger & Joyeux 1980; Hosking 1981): y = (1 - L)^d x with L the step back in time,
//   y_t = sum_{k < W} w_k x_{t-k},   w_0 = 1,  w_k = w_{k-1} (k - 1 - d) / k = (-1)^k binomial(d, k),   x_t = 0 for t < 0
// and the gradient is the transpose filter dx_t = sum_{k < W} w_k dy_{t+k}, with dy = 0 behind the end.
// d = 0 is the identity, d = 1 the difference of neighbours, d = -1 the running sum. The first W - 1 values of a series lean on
// the zeros before it; whoever wants a filter of fixed width drops them (Lopez de Prado 2018, section 5.5).
// Work: 2 W products and additions for 8 bytes; from some tens of weights on it is arithmetic, not memory, that limits.
#pragma once
#include <vector>

#include "kernels/common/context.h"
#include "kernels/common/dtype.h"

namespace graft {

struct FracdiffParams {
  int64_t series, length;
  int64_t window;  // W, 1 <= W <= max(length, 1)
};

// y[series, length], x[series, length], weights[window]; y overlaps neither. A NaN or Inf in x reaches the W values from
// its own on, and no other.
template <class T>
using FracdiffForward = void(Context&, T* y, const T* x, const Accumulate<T>* weights, const FracdiffParams&);
template <class T>
using FracdiffBackward = void(Context&, T* dx, const T* dy, const Accumulate<T>* weights, const FracdiffParams&);

// w_0, w_1, .. up to `length` of them, ending before the first |w_k| <= floor (0: before the first that is zero). At least one.
std::vector<double> fracdiff_weights(double d, int64_t length, double floor = 0);

namespace cpu {
FracdiffForward<float> fracdiff_forward;
FracdiffBackward<float> fracdiff_backward;
}  // namespace cpu

}  // namespace graft
