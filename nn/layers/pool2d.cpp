#include "nn/layers/pool2d.h"

namespace graft::nn {

Shape Pool2d::output_shape(const Shape& x) const {
  const int64_t kernel = options_.kernel, stride = options_.stride ? options_.stride : kernel, padding = options_.padding;
  check<ShapeError>(x.rank() == 4, "pool2d: x: expected [N, H, W, C], got {}", x);
  check<ShapeError>(x[1] + 2 * padding >= kernel && x[2] + 2 * padding >= kernel,
                    "pool2d: x: expected at least {} pixels a side with padding, got {}", kernel, x);
  const auto out = [&](int64_t n) {
    int64_t o = (n + 2 * padding - kernel + (options_.ceil_mode ? stride - 1 : 0)) / stride + 1;
    if (options_.ceil_mode && (o - 1) * stride >= n + padding) --o;  // a window all in the right padding does not count
    return o;
  };
  return {x[0], out(x[1]), out(x[2]), x[3]};
}

Shape GlobalAvgPool2d::output_shape(const Shape& x) const {
  check<ShapeError>(x.rank() == 4, "global_avg_pool2d: x: expected [N, H, W, C], got {}", x);
  return {x[0], x[3]};
}

}  // namespace graft::nn
