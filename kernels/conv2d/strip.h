// A strip of an image, made ready for tiles: some rows with their zero border written out, so that the inner loops meet no
// edge, masked by the relu that followed, small enough for the caches.
#pragma once
#include <cstdint>

namespace graft::cpu {

// The padded image that a pass reads: its pixel (r, c) is (r - top, c - left) of the source, or zero outside.
// top and left may be negative (a crop).
struct PaddedImage {
  int64_t h, w, c;  // the source
  int64_t top, left, rows, cols;
  bool in_place() const { return top == 0 && left == 0 && rows <= h && cols <= w; }
};

inline constexpr int64_t kStripFloats = 1 << 16;  // 256 KB: with a panel of weights inside an L2 of 512 KB

}  // namespace graft::cpu
