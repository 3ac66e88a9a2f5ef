// Bilinear resizing by Pillow's convention, byte for byte (tests/io/resize_test.cpp): pixel centres lie at half integers,
// the triangle filter widens with a reduction (antialiasing), its weights are normalised where it leaves the image, rows
// are filtered and rounded to bytes before columns. OpenCV, and PyTorch's interpolate without antialias, do not widen.
#pragma once
#include "io/images.h"

namespace graft::io {

struct Box {
  double top = 0, left = 0, height = 0, width = 0;  // in pixels of the source; may be fractional
};

// [height, width, channels] bytes -> [out_height, out_width, channels] of the box. ConfigError when a size is not positive
// or the box leaves the image.
void resize_bilinear(const uint8_t* in, int64_t height, int64_t width, int64_t channels, Box box, uint8_t* out, int64_t out_height,
                     int64_t out_width);
Image resize(const Image&, int64_t out_height, int64_t out_width);

// Short side to `size` (keeping the aspect), then the size x size centre.
Image resize_and_crop(const Image&, int64_t size);

}  // namespace graft::io
