// Random changes of a training image. Every choice is a pure function of (key, epoch, item), so neither threads nor the
// order of batches change it.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/shape.h"

namespace graft::io {

struct Augment {
  int64_t resize_height = 0, resize_width = 0;  // bilinear with antialiasing; 0: as it is
  double min_area = 1;   // < 1: resize a random box of this fraction to 1 of the area (aspect kept), not the whole image
  int64_t pad_crop = 0;  // pad by this many black pixels on each side and crop the old size at a random place
  double flip = 0;       // probability of a horizontal flip
  int64_t cutout = 0;    // side of a square set to the mean at a random centre (DeVries and Taylor 2017)

  bool random() const { return min_area < 1 || pad_crop > 0 || flip > 0 || cutout > 0; }
  bool operator==(const Augment&) const = default;
};

// ConfigError when an option is out of range.
void validate(const Augment&);
Shape augmented_shape(const Augment&, const Shape& hwc);

// Normalisation as a table: value(channel, byte) = (byte / 255 - mean) / stddev.
struct Normalization {
  std::vector<double> mean, stddev;                  // one per channel; empty: 0 and 1
  std::vector<float> table(int64_t channels) const;  // [channels, 256]; ConfigError when the numbers of channels differ
};

// One image u8 [H, W, C] -> f32 [H', W', C]. `scratch` is reused between calls.
void augment_item(const Augment&, const uint8_t* image, const Shape& hwc, const std::vector<float>& table, uint64_t key,
                  uint64_t epoch, uint64_t item, std::vector<uint8_t>& scratch, float* out);

}  // namespace graft::io
