// Forward and dgrad are one computation: every output pixel is a product of weights with the runs of source floats under
// its taps. A tap row of a padded NHWC image is contiguous over (kw, channel), so the tile reads patches in place: there is
// no im2col. dgrad with stride s is s*s such computations ("phases"), one for each residue of (row, column) modulo s, each
// with the taps that reach it.
#pragma once
#include <vector>

#include "kernels/conv2d/strip.h"
#include "kernels/matmul/tile.h"

namespace graft::cpu {

struct Tap {
  int64_t row, col;  // in the padded source, from the output pixel's base
  int64_t weight;    // index of its first weight in a group's filters
};

struct Phase {
  int64_t row, col;       // the first output pixel
  int64_t h, w;           // pixels; the next ones follow at out_step
  std::vector<Tap> taps;  // ordered by (row, col)
  std::vector<Run> runs;  // at most kBlockK long
  int64_t k;              // taps times source channels of a group
  int64_t packed;         // of group 0 in the packed weights
};

struct Correlation {
  int64_t n;
  PaddedImage source;
  int64_t source_step;  // between the bases of neighbouring output pixels
  int64_t out_h, out_w, out_c, out_step;
  int64_t groups, source_group, out_group;  // channels of a group
  int64_t span;                             // source rows under an output pixel
  int64_t k_step, j_step, weight_group;     // in the weights: next source channel, next output channel, next group
  int64_t packed_group;                     // floats of a group's packed weights, all phases
  std::vector<Phase> phases;
  const float *in, *mask, *weight, *bias;
  const float* residual;  // like out, added before relu; or null
  bool relu;
  float* out;
};

}  // namespace graft::cpu
