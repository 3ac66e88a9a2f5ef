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
  int64_t block;       // channels are laid out as [c / block][rows][cols][block]; block = c where that is the image's own layout
  int64_t row_floats;  // of the strip, or of the image where it is read in place
  int64_t block_floats, strip_floats;  // of one block, of one image
  std::vector<int64_t> elements;       // [groups][patch]: where a patch element lies, from the patch's first pixel
  std::vector<Run> runs;               // the pixels of the rows of a strip
  const float *x, *dy, *y;             // y null: no mask

  bool in_place() const { return source.in_place() && block == source.c; }
  int64_t patch() const { return int64_t(elements.size()) / groups; }
};

// Scratch of one task.
struct WgradBuffers {
  float* strip;
  float* dy;        // [pixels of a strip][a panel]
  const float** a;  // [patch]
  float** c;        // [patch]
};

}  // namespace graft::cpu
