// Copies `count` blocks of `block` adjacent elements; the begins of neighbours are x_stride and y_stride elements
// apart. Slice and concat along any axis of a contiguous tensor, and the gradients of both, are such copies.
#pragma once
#include "kernels/common/context.h"

namespace graft {

struct CopyBlocksParams {
  int64_t count, block;
  int64_t x_offset, x_stride;  // in elements
  int64_t y_offset, y_stride;
};

// Only the blocks of y are written.
template <class T>
using CopyBlocksForward = void(Context&, T* y, const T* x, const CopyBlocksParams&);

namespace cpu {
CopyBlocksForward<float> copy_blocks_forward;
}

}  // namespace graft
