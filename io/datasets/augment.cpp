#include "io/datasets/augment.h"

#include <algorithm>
#include <cmath>

#include "io/resize.h"
#include "kernels/common/error.h"
#include "kernels/common/philox.h"

namespace graft::io {
namespace {
enum Draw : uint64_t { kArea, kTop, kLeft, kCropTop, kCropLeft, kFlip, kCutTop, kCutLeft, kDraws };
}

void validate(const Augment& a) {
  check<ConfigError>(a.resize_height >= 0 && a.resize_width >= 0 && (a.resize_height > 0) == (a.resize_width > 0),
                     "augment: resize: expected two positive sizes or none, got {}x{}", a.resize_height, a.resize_width);
  check<ConfigError>(a.min_area > 0 && a.min_area <= 1, "augment: min_area: expected a fraction above 0, at most 1, got {}",
                     a.min_area);
  check<ConfigError>(a.pad_crop >= 0 && a.pad_crop <= 4096, "augment: pad_crop: expected 0 to 4096, got {}", a.pad_crop);
  check<ConfigError>(a.flip >= 0 && a.flip <= 1, "augment: flip: expected a probability, got {}", a.flip);
  check<ConfigError>(a.cutout >= 0 && a.cutout <= 65536, "augment: cutout: expected 0 to 65536, got {}", a.cutout);
}

Shape augmented_shape(const Augment& a, const Shape& hwc) {
  return a.resize_height > 0 ? Shape{a.resize_height, a.resize_width, hwc[2]} : hwc;
}

std::vector<float> Normalization::table(int64_t channels) const {
  check<ConfigError>(mean.size() == stddev.size() && (mean.empty() || int64_t(mean.size()) == channels),
                     "normalization: expected {} means and deviations, got {} and {}", channels, mean.size(), stddev.size());
  std::vector<float> table(size_t(channels * 256));
  for (int64_t c = 0; c < channels; ++c) {
    const double m = mean.empty() ? 0 : mean[size_t(c)], s = stddev.empty() ? 1 : stddev[size_t(c)];
    check<ConfigError>(std::isfinite(m) && std::isfinite(s) && s > 0, "normalization: channel {}: mean {}, deviation {}", c, m, s);
    for (int64_t v = 0; v < 256; ++v) table[size_t(c * 256 + v)] = float((double(v) / 255 - m) / s);
  }
  return table;
}

void augment_item(const Augment& a, const uint8_t* image, const Shape& hwc, const std::vector<float>& table, uint64_t key,
                  uint64_t epoch, uint64_t item, std::vector<uint8_t>& scratch, float* out) {
  const Philox stream{stream_key(key, "augment"), epoch};
  const auto uniform = [&](Draw d) { return stream.uniform(item * kDraws + d); };
  const auto below = [&](Draw d, int64_t n) { return int64_t(stream.below(item * kDraws + d, uint64_t(n))); };
  const Shape shape = augmented_shape(a, hwc);
  const int64_t h = shape[0], w = shape[1], channels = shape[2];

  if (a.min_area < 1 || !(shape == hwc)) {
    Box box{0, 0, double(hwc[0]), double(hwc[1])};
    if (a.min_area < 1) {
      const double side = std::sqrt(a.min_area + (1 - a.min_area) * uniform(kArea));
      box = {0, 0, box.height * side, box.width * side};
      box.top = (double(hwc[0]) - box.height) * uniform(kTop);
      box.left = (double(hwc[1]) - box.width) * uniform(kLeft);
    }
    scratch.resize(size_t(shape.numel()));
    resize_bilinear(image, hwc[0], hwc[1], channels, box, scratch.data(), h, w);
    image = scratch.data();
  }

  const int64_t top = a.pad_crop > 0 ? below(kCropTop, 2 * a.pad_crop + 1) - a.pad_crop : 0;
  const int64_t left = a.pad_crop > 0 ? below(kCropLeft, 2 * a.pad_crop + 1) - a.pad_crop : 0;
  const bool flip = a.flip > 0 && uniform(kFlip) < a.flip;
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) {
      const int64_t from_y = y + top, from_x = (flip ? w - 1 - x : x) + left;
      const bool inside = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
      const uint8_t* pixel = inside ? image + (from_y * w + from_x) * channels : nullptr;
      float* to = out + (y * w + x) * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = table[size_t(c * 256 + (pixel ? pixel[c] : 0))];
    }

  if (a.cutout > 0) {
    const int64_t first_y = below(kCutTop, h) - a.cutout / 2, first_x = below(kCutLeft, w) - a.cutout / 2;
    const int64_t begin = std::max<int64_t>(0, first_x), end = std::min(w, first_x + a.cutout);
    for (int64_t y = std::max<int64_t>(0, first_y); y < std::min(h, first_y + a.cutout); ++y)
      std::fill(out + (y * w + begin) * channels, out + (y * w + end) * channels, 0.0f);  // the mean, once normalised
  }
}

}  // namespace graft::io
