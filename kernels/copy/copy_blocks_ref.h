#pragma once
#include "kernels/copy/copy_blocks.h"

namespace graft::ref {

template <class T>
void copy_blocks_forward(Context&, T* y, const T* x, const CopyBlocksParams& p) {
  for (int64_t c = 0; c < p.count; ++c)
    for (int64_t i = 0; i < p.block; ++i) y[p.y_offset + c * p.y_stride + i] = x[p.x_offset + c * p.x_stride + i];
}

}  // namespace graft::ref
