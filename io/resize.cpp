#include "io/resize.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/error.h"

namespace graft::io {
namespace {

// For each output position: the first source position and the weights of the `taps` from there, in fixed point, so that
// every machine gives the same bytes. 22 bits leave room for the sign and the 8 bits of a pixel in an int32.
constexpr int kBits = 22;

struct Filter {
  int64_t taps = 0;
  std::vector<int64_t> first, count;
  std::vector<int32_t> weights;  // [out, taps]
};

Filter triangle(int64_t in, double start, double length, int64_t out) {
  const double step = length / double(out);    // source pixels per output pixel
  const double support = std::max(step, 1.0);  // half width of the triangle
  Filter f;
  f.taps = int64_t(std::ceil(support)) * 2 + 1;
  f.weights.assign(size_t(out * f.taps), 0);
  std::vector<double> w(size_t(f.taps), 0);
  for (int64_t o = 0; o < out; ++o) {
    const double centre = start + (double(o) + 0.5) * step;
    const int64_t first = std::max<int64_t>(0, int64_t(std::floor(centre - support + 0.5)));
    const int64_t last = std::min(in, int64_t(std::floor(centre + support + 0.5)));
    double sum = 0;
    for (int64_t i = first; i < last; ++i) {
      const double distance = std::abs(double(i) + 0.5 - centre) / support;
      sum += w[size_t(i - first)] = std::max(0.0, 1 - distance);
    }
    for (int64_t i = first; i < last; ++i)
      f.weights[size_t(o * f.taps + i - first)] = int32_t(std::lround(w[size_t(i - first)] / sum * (1 << kBits)));
    f.first.push_back(first);
    f.count.push_back(last - first);
  }
  return f;
}

uint8_t to_byte(int32_t sum) { return uint8_t(std::clamp(sum >> kBits, 0, 255)); }

}  // namespace

void resize_bilinear(const uint8_t* in, int64_t height, int64_t width, int64_t channels, Box box, uint8_t* out, int64_t out_height,
                     int64_t out_width) {
  check<ConfigError>(height > 0 && width > 0 && channels > 0 && out_height > 0 && out_width > 0,
                     "resize: expected positive sizes, got {}x{}x{} to {}x{}", height, width, channels, out_height, out_width);
  check<ConfigError>(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 && box.top + box.height <= double(height) &&
                         box.left + box.width <= double(width),
                     "resize: box {} {} {} {} leaves the image of {}x{}", box.top, box.left, box.height, box.width, height, width);
  const Filter across = triangle(width, box.left, box.width, out_width);
  const Filter down = triangle(height, box.top, box.height, out_height);
  const int64_t top = down.first.front(), bottom = down.first.back() + down.count.back();
  // Rows first, rounded to bytes, then columns.
  std::vector<uint8_t> rows(size_t((bottom - top) * out_width * channels));
  for (int64_t y = top; y < bottom; ++y)
    for (int64_t x = 0; x < out_width; ++x)
      for (int64_t c = 0; c < channels; ++c) {
        int32_t sum = 1 << (kBits - 1);
        for (int64_t t = 0; t < across.count[size_t(x)]; ++t)
          sum += across.weights[size_t(x * across.taps + t)] * in[(y * width + across.first[size_t(x)] + t) * channels + c];
        rows[size_t(((y - top) * out_width + x) * channels + c)] = to_byte(sum);
      }
  const int64_t stride = out_width * channels;
  for (int64_t y = 0; y < out_height; ++y)
    for (int64_t i = 0; i < stride; ++i) {
      int32_t sum = 1 << (kBits - 1);
      for (int64_t t = 0; t < down.count[size_t(y)]; ++t)
        sum += down.weights[size_t(y * down.taps + t)] * rows[size_t((down.first[size_t(y)] - top + t) * stride + i)];
      out[y * stride + i] = to_byte(sum);
    }
}

Image resize(const Image& in, int64_t out_height, int64_t out_width) {
  check<ConfigError>(out_height > 0 && out_width > 0 && out_height <= kMaxImagePixels / out_width,
                     "resize: size {}x{}: expected positive, at most {} pixels", out_height, out_width, kMaxImagePixels);
  Image out{out_height, out_width, in.channels, {}};
  out.pixels.resize(size_t(out_height * out_width * in.channels));
  resize_bilinear(in.pixels.data(), in.height, in.width, in.channels, {0, 0, double(in.height), double(in.width)},
                  out.pixels.data(), out_height, out_width);
  return out;
}

Image resize_and_crop(const Image& in, int64_t size) {
  const int64_t shorter = std::min(in.height, in.width);
  const auto scaled = [&](int64_t n) { return std::max(size, int64_t(std::lround(double(n) * double(size) / double(shorter)))); };
  const Image whole = shorter == size ? in : resize(in, scaled(in.height), scaled(in.width));
  Image out{size, size, in.channels, {}};
  out.pixels.resize(size_t(size * size * in.channels));
  const int64_t top = (whole.height - size) / 2, left = (whole.width - size) / 2;
  for (int64_t y = 0; y < size; ++y)
    std::copy_n(whole.pixels.data() + ((top + y) * whole.width + left) * in.channels, size * in.channels,
                out.pixels.data() + y * size * in.channels);
  return out;
}

}  // namespace graft::io
