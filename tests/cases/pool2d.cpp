#include "kernels/pool2d/pool2d.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {
namespace {

struct Window {
  int64_t n, h, w, c, kernel, stride, padding;
  bool ceil_mode = false;
  int64_t kw = 0;  // where it is not the kernel
};
struct Shape {
  Window window;
  Tier tier;
};
constexpr Shape kShapes[] = {
    {{1, 1, 1, 1, 1, 1, 0, false}, Tier::smoke},     {{2, 4, 4, 3, 2, 2, 0, false}, Tier::smoke},
    {{2, 5, 7, 5, 2, 2, 0, false}, Tier::smoke},     {{2, 5, 7, 8, 2, 2, 0, true}, Tier::smoke},
    {{2, 4, 6, 8, 2, 2, 0, false}, Tier::smoke},     {{1, 7, 6, 13, 3, 2, 1, false}, Tier::smoke},
    {{2, 8, 9, 17, 3, 2, 0, true}, Tier::ci},        {{1, 7, 7, 64, 7, 7, 0, false}, Tier::ci},
    {{1, 6, 5, 11, 2, 3, 1, true}, Tier::ci},        {{3, 9, 9, 16, 5, 1, 2, false}, Tier::ci},
    {{1, 13, 11, 4, 4, 3, 2, true}, Tier::ci},       {{1, 40, 37, 31, 17, 4, 8, false}, Tier::ci},
    {{70001, 1, 1, 2, 1, 1, 0, false}, Tier::ci},    {{1, 2, 2, 70001, 2, 2, 0, false}, Tier::ci},
    {{1, 2, 3, 8, 3, 1, 0, false}, Tier::smoke},     {{2, 6, 9, 8, 2, 2, 0, true, 3}, Tier::smoke},
    {{1, 7, 5, 5, 4, 1, 1, false, 2}, Tier::smoke},  {{50, 32, 32, 16, 2, 2, 0, false}, Tier::bench},
    {{50, 16, 16, 32, 2, 2, 0, false}, Tier::bench}, {{50, 8, 8, 48, 2, 2, 0, false}, Tier::bench},
    {{16, 55, 55, 96, 3, 2, 0, false}, Tier::bench},
};

// Taps [first, end) that lie inside the image for every window: all, or those in row `padding` of a window that no edge cuts off.
struct Taps {
  int64_t first, end;
};
Taps valid_taps(const Pool2dParams& p) {
  const int64_t last_row = (p.oh - 1) * p.stride, last_column = (p.ow - 1) * p.stride;  // of tap (padding, padding)
  const int64_t right = std::max<int64_t>(last_column - p.padding + p.kw - p.w, 0);
  if (p.padding == 0 && right == 0 && last_row + p.kh <= p.h) return {0, p.kh * p.kw};
  if (last_row >= p.h) return {0, 0};
  return {p.padding * (p.kw + 1), p.padding * p.kw + p.kw - right};
}

Pool2dParams parameters(const Window& s) {
  return {s.n,
          s.h,
          s.w,
          s.c,
          pooled_size(s.h, s.kernel, s.stride, s.padding, s.ceil_mode),
          pooled_size(s.w, s.kw ? s.kw : s.kernel, s.stride, s.padding, s.ceil_mode),
          s.kernel,
          s.kw ? s.kw : s.kernel,
          s.stride,
          s.padding};
}

std::string text(const Window& s) {
  return fmt::format("x={}x{}x{}x{} kernel={}{} stride={} padding={}{}", s.n, s.h, s.w, s.c, s.kernel,
                     s.kw ? fmt::format("x{}", s.kw) : "", s.stride, s.padding, s.ceil_mode ? " ceil" : "");
}

void add_max(Tier tier, const Window& window) {
  const Pool2dParams p = parameters(window);
  const std::string name = text(window);
  const int64_t x = p.n * p.h * p.w * p.c, y = p.n * p.oh * p.ow * p.c;
  const Cost cost{.flops = double(y * p.kh * p.kw), .bytes = 4.0 * double(x) + 8.0 * double(y)};
  add<MaxPool2dForward>(Op::max_pool2d, Pass::forward, name, tier, {out(y), out(y), in_distinct(x)}, cost, p);
  add<MaxPool2dForward>(Op::max_pool2d, Pass::forward, name + " ties, no taps", tier == Tier::bench ? Tier::full : tier,
                        {out(y), absent(), index(x, 3)}, cost, p);
  if (tier == Tier::smoke)
    add<MaxPool2dForward>(Op::max_pool2d, Pass::forward, name + " NaN", tier, {out(y), out(y), in_holes(x, NAN)}, cost, p);
  const Taps taps = valid_taps(p);
  if (taps.first >= taps.end) return;  // tests/tensor/norms_test.cpp has such shapes too
  add<MaxPool2dBackward>(Op::max_pool2d, Pass::backward, name, tier, {out(x), in(y), index(y, taps.first, taps.end)},
                         {.reduction = double(p.kh * p.kw), .bytes = cost.bytes}, p);
}

void add_avg(Tier tier, const Window& window) {
  const Pool2dParams p = parameters(window);
  const std::string name = text(window);
  const int64_t x = p.n * p.h * p.w * p.c, y = p.n * p.oh * p.ow * p.c;
  const Cost cost{.reduction = double(p.kh * p.kw), .flops = double(y * p.kh * p.kw), .bytes = 4.0 * double(x + y)};
  add<AvgPool2dForward>(Op::avg_pool2d, Pass::forward, name, tier, {out(y), in(x)}, cost, p);
  add<AvgPool2dBackward>(Op::avg_pool2d, Pass::backward, name, tier, {out(x), in(y)}, cost, p);
}

}  // namespace

void add_max_pool2d(Tier tier, int64_t n, int64_t h, int64_t w, int64_t c, int64_t kernel, int64_t stride, int64_t padding) {
  add_max(tier, {n, h, w, c, kernel, stride, padding});
}
void add_avg_pool2d(Tier tier, int64_t n, int64_t h, int64_t w, int64_t c, int64_t kernel, int64_t stride, int64_t padding) {
  add_avg(tier, {n, h, w, c, kernel, stride, padding});
}

GRAFT_CASES(max_pool2d) {
  for (const Shape& s : kShapes) add_max(s.tier, s.window);
}

GRAFT_CASES(avg_pool2d) {
  for (const Shape& s : kShapes) add_avg(s.tier, s.window);
}

}  // namespace graft::harness
