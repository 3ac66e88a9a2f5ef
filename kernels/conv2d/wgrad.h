// The shared shape of wgrad's tasks; see conv2d_wgrad_cpu.cpp.
#pragma once
#include <vector>

#include "kernels/conv2d/strip.h"
#include "kernels/matmul/tile.h"

namespace graft::cpu {

struct Wgrad {
  PaddedImage source;
  int64_t stride, span;  // source rows under an output row
  int64_t out_h, out_w, c_out;
  int64_t groups, source_group, out_group;  // channels of a group
  int64_t row_floats;                       // of the strip, or of the image where it is read in place
  std::vector<int64_t> elements;            // where a patch element of group 0 lies, from the patch's first pixel
  std::vector<Run> runs;                    // the pixels of the rows of a strip
  const float *x, *dy, *y;                  // y null: no mask

  int64_t patch() const { return int64_t(elements.size()); }
};

// Scratch of one task.
struct WgradBuffers {
  float* strip;
  float* dy;        // [pixels of a strip][a panel]
  const float** a;  // [patch]
  float** c;        // [patch]
};

}  // namespace graft::cpu
