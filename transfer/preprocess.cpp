#include "transfer/preprocess.h"

#include <fmt/format.h>

namespace graft::transfer {

Preprocessing Preprocessing::for_evaluation() const {
  Preprocessing p = *this;
  const io::Augment none;
  p.augment.min_area = none.min_area;
  p.augment.pad_crop = none.pad_crop;
  p.augment.flip = none.flip;
  p.augment.cutout = none.cutout;
  return p;
}

std::string Preprocessing::str() const {
  return fmt::format("mean=[{}] std=[{}] resize={}x{} min_area={} pad_crop={} flip={} cutout={}",
                     fmt::join(normalization.mean, ","), fmt::join(normalization.stddev, ","), augment.resize_height,
                     augment.resize_width, augment.min_area, augment.pad_crop, augment.flip, augment.cutout);
}

}  // namespace graft::transfer
