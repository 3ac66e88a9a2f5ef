#pragma once
#include "tensor/tensor.h"

namespace graft {

// Square windows; stride 0 means stride = kernel.
struct Pool2dOptions {
  int64_t kernel;
  int64_t stride = 0;
  int64_t padding = 0;     // on all four sides; at most kernel / 2
  bool ceil_mode = false;  // keep the last, partial window (one that starts inside the image or its left padding)
};

// x[N, H, W, C] -> [N, OH, OW, C], OH = floor or ceil((H + 2 padding - kernel) / stride) + 1. ShapeError if empty.
// Maximum over each window; padding counts as -inf. Equal maxima: the gradient goes to the first in row-major order.
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options);
// Mean over each window; padding counts as zeros of the window (PyTorch's count_include_pad).
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options);
// x[N, H, W, C] -> [N, C]: the mean over each image.
Tensor global_avg_pool2d(const Tensor& x);

}  // namespace graft
