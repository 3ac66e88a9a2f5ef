#pragma once
#include "tensor/tensor.h"

namespace graft {

struct FracdiffOptions {
  double floor = 0;    // the filter ends before the first weight with |w_k| <= floor; 0: as long as the series
  int64_t window = 0;  // and has at most this many weights; 0: no limit
};

// x[.., T] -> [.., T]: (1 - L)^d along the last axis, values before the start taken as zero (kernels/fracdiff/fracdiff.h).
// Differentiable in x. d is any finite number; negative d integrates. ConfigError for another d, floor or window.
Tensor fracdiff(const Tensor& x, double d, FracdiffOptions options = {});

}  // namespace graft
