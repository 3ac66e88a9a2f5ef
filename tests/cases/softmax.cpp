#include "kernels/softmax/softmax.h"

#include <fmt/core.h>

#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {
namespace {

struct Shape {
  int64_t rows, cols;
  Tier tier;
};
constexpr Shape kShapes[] = {{1, 1, Tier::smoke},      {3, 5, Tier::smoke},     {50, 10, Tier::smoke}, {7, 8, Tier::smoke},
                             {5, 264, Tier::smoke},    {2, 1000, Tier::ci},     {1, 70001, Tier::ci},  {70001, 3, Tier::ci},
                             {129, 131, Tier::ci},     {3, 1032, Tier::ci},     {2, 2056, Tier::ci},   {1, 4104, Tier::ci},
                             {1, 9000, Tier::ci},      {1, 32768, Tier::ci},    {1, 32776, Tier::ci},  {3, 1025, Tier::ci},
                             {4096, 512, Tier::bench}, {64, 32000, Tier::bench}};

}  // namespace

void add_softmax(Op op, Tier tier, const SoftmaxParams& p) {
  const auto [rows, cols] = p;
  const int64_t n = rows * cols;
  const auto name = fmt::format("rows={} cols={}", rows, cols);
  add<SoftmaxForward>(op, Pass::forward, name, tier, {out(n), in_uniform(n, -8, 8)},
                      {.reduction = double(cols), .flops = 4.0 * double(n), .bytes = 8.0 * double(n)}, p);
  if (cols > 2 && tier <= Tier::ci)
    add<SoftmaxForward>(op, Pass::forward, name + " -inf", tier, {out(n), in_holes(n, -INFINITY)},
                        {.reduction = double(cols), .flops = 4.0 * double(n), .bytes = 8.0 * double(n)}, p);
  // y as the forward pass would give it in size: probabilities, or their logarithms.
  const Arg y = op == Op::softmax ? in_uniform(n, 0, 2.0 / double(cols)) : in_uniform(n, -9, 0);
  add<SoftmaxBackward>(
      op, Pass::backward, name, tier, {out(n), in(n), y},
      {.reduction = double(cols), .flops = 4.0 * double(n), .bytes = 12.0 * double(n), .scale = op == Op::softmax ? 0.0 : 1.0}, p);
}

GRAFT_CASES(softmax) {
  for (auto [rows, cols, tier] : kShapes) add_softmax(Op::softmax, tier, {rows, cols});
}
GRAFT_CASES(log_softmax) {
  for (auto [rows, cols, tier] : kShapes) add_softmax(Op::log_softmax, tier, {rows, cols});
}

}  // namespace graft::harness
