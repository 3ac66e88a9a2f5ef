#include "kernels/pool2d/pool2d.h"

#include <fmt/core.h>

#include "tests/harness/cases.h"

namespace graft::harness {
namespace {

struct Shape {
  int64_t n, h, w, c, kernel, stride, padding;
  bool ceil_mode;
  Tier tier;
};
constexpr Shape kShapes[] = {
    {1, 1, 1, 1, 1, 1, 0, false, Tier::smoke},     {2, 4, 4, 3, 2, 2, 0, false, Tier::smoke},
    {2, 5, 7, 5, 2, 2, 0, false, Tier::smoke},     {2, 5, 7, 8, 2, 2, 0, true, Tier::smoke},
    {1, 7, 6, 13, 3, 2, 1, false, Tier::smoke},    {2, 8, 9, 17, 3, 2, 0, true, Tier::ci},
    {1, 7, 7, 64, 7, 7, 0, false, Tier::ci},       {1, 6, 5, 11, 2, 3, 1, true, Tier::ci},
    {3, 9, 9, 16, 5, 1, 2, false, Tier::ci},       {1, 13, 11, 4, 4, 3, 2, true, Tier::ci},
    {1, 40, 37, 31, 17, 4, 8, false, Tier::ci},    {70001, 1, 1, 2, 1, 1, 0, false, Tier::ci},
    {1, 2, 2, 70001, 2, 2, 0, false, Tier::ci},    {50, 32, 32, 16, 2, 2, 0, false, Tier::bench},
    {50, 16, 16, 32, 2, 2, 0, false, Tier::bench}, {50, 8, 8, 48, 2, 2, 0, false, Tier::bench},
    {16, 55, 55, 96, 3, 2, 0, false, Tier::bench},
};

// f(name, tier, parameters, floats in x, floats in y)
template <class F>
void for_shapes(F f) {
  for (const Shape& s : kShapes) {
    Pool2dParams p{s.n, s.h, s.w, s.c, 0, 0, s.kernel, s.kernel, s.stride, s.padding};
    p.oh = pooled_size(s.h, s.kernel, s.stride, s.padding, s.ceil_mode);
    p.ow = pooled_size(s.w, s.kernel, s.stride, s.padding, s.ceil_mode);
    f(fmt::format("x={}x{}x{}x{} kernel={} stride={} padding={}{}", s.n, s.h, s.w, s.c, s.kernel, s.stride, s.padding,
                  s.ceil_mode ? " ceil" : ""),
      s.tier, p, s.n * s.h * s.w * s.c, s.n * p.oh * p.ow * s.c);
  }
}

// Every window lies inside the image, so any tap is a valid one.
bool whole_windows(const Pool2dParams& p) {
  return p.padding == 0 && (p.oh - 1) * p.stride + p.kh <= p.h && (p.ow - 1) * p.stride + p.kw <= p.w;
}

}  // namespace

GRAFT_CASES(max_pool2d) {
  for_shapes([](const std::string& name, Tier tier, const Pool2dParams& p, int64_t x, int64_t y) {
    const Cost cost{.flops = double(y * p.kh * p.kw), .bytes = 4.0 * double(x) + 8.0 * double(y)};
    add<MaxPool2dForward>(Op::max_pool2d, Pass::forward, name, tier, {out(y), out(y), in_distinct(x)}, cost, p);
    add<MaxPool2dForward>(Op::max_pool2d, Pass::forward, name + " ties, no taps", tier == Tier::bench ? Tier::full : tier,
                          {out(y), absent(), index(x, 3)}, cost, p);
    if (!whole_windows(p)) return;  // tests/tensor/norms_test.cpp has the others
    add<MaxPool2dBackward>(Op::max_pool2d, Pass::backward, name, tier, {out(x), in(y), index(y, p.kh * p.kw)},
                           {.reduction = double(p.kh * p.kw), .bytes = cost.bytes}, p);
  });
}

GRAFT_CASES(avg_pool2d) {
  for_shapes([](const std::string& name, Tier tier, const Pool2dParams& p, int64_t x, int64_t y) {
    const Cost cost{.reduction = double(p.kh * p.kw), .flops = double(y * p.kh * p.kw), .bytes = 4.0 * double(x + y)};
    add<AvgPool2dForward>(Op::avg_pool2d, Pass::forward, name, tier, {out(y), in(x)}, cost, p);
    add<AvgPool2dBackward>(Op::avg_pool2d, Pass::backward, name, tier, {out(x), in(y)}, cost, p);
  });
}

}  // namespace graft::harness
