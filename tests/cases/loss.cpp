#include "kernels/loss/cross_entropy_inplace.h"
#include "kernels/loss/loss.h"

#include <fmt/core.h>

#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {

std::string padded(int64_t columns) { return columns ? fmt::format(" padding={}", columns) : ""; }

void add_cross_entropy(Tier tier, const CrossEntropyParams& p) {
  const auto [n, classes, smoothing, padding] = p;
  const int64_t size = n * p.line();
  const auto name = fmt::format("n={} classes={} smoothing={}{}", n, classes, smoothing, padded(padding));
  const Cost cost{.reduction = double(classes), .flops = 4.0 * double(size), .bytes = 4.0 * double(size)};
  add<CrossEntropyForward>(Op::cross_entropy, Pass::forward, name, tier,
                           {out(1), out(2 * n), in_uniform(size, -8, 8), index(n, classes)}, cost, p);
  if (smoothing == 0 && classes > 2 && tier <= Tier::ci)
    add<CrossEntropyForward>(Op::cross_entropy, Pass::forward, name + " -inf", tier,
                             {out(1), out(2 * n), in_holes(size, -INFINITY), index(n, classes)}, cost, p);
  // maximum 1 and log sum 3: probabilities up to exp(-3)
  add<CrossEntropyBackward>(Op::cross_entropy, Pass::backward, name, tier,
                            {out(size), in(1), in_uniform(size, -8, 1), in_uniform(2 * n, 1, 3), index(n, classes)},
                            {.reduction = 8, .flops = cost.flops, .bytes = 2 * cost.bytes}, p);
}

GRAFT_CASES(cross_entropy) {
  struct Shape {
    int64_t n, classes;
    Tier tier;
  };
  for (auto [n, classes, tier] : {Shape{1, 1, Tier::smoke},
                                  {1, 5, Tier::smoke},
                                  {50, 10, Tier::smoke},
                                  {7, 16, Tier::smoke},
                                  {5, 264, Tier::smoke},
                                  {3, 1000, Tier::ci},
                                  {2, 1032, Tier::ci},
                                  {1, 4104, Tier::ci},
                                  {1, 32768, Tier::ci},
                                  {2, 1025, Tier::ci},
                                  {1, 70001, Tier::ci},
                                  {70001, 2, Tier::ci},
                                  {257, 131, Tier::ci},
                                  {4096, 1000, Tier::bench}})
    for (double smoothing : {0.0, 0.1, 1.0}) add_cross_entropy(tier, {n, classes, smoothing});
  for (auto [classes, padding] : {std::pair<int64_t, int64_t>{3, 5}, {13, 3}, {257, 7}, {1023, 9}})
    for (double smoothing : {0.0, 0.1}) add_cross_entropy(classes < 100 ? Tier::smoke : Tier::ci, {3, classes, smoothing, padding});
}

GRAFT_CASES(cross_entropy_inplace) {
  struct Shape {
    int64_t n, classes, padding = 0;
  };
  for (auto [n, classes, padding] : {Shape{1, 1},
                                     {50, 10},
                                     {7, 16},
                                     {5, 264},
                                     {3, 3, 5},
                                     {4, 13, 3},
                                     {3, 257, 7},
                                     {2, 1016, 8},
                                     {3, 1000},
                                     {2, 1032},
                                     {1, 4104},
                                     {1, 32768},
                                     {1, 32776},
                                     {1, 8200},
                                     {9, 8193, 7},
                                     {5, 4090, 6},
                                     {2, 1025},
                                     {70001, 2}})
    for (double smoothing : {0.0, 0.1}) {
      const int64_t size = n * (classes + padding);
      const auto name = fmt::format("n={} classes={} smoothing={}{}", n, classes, smoothing, padded(padding));
      const Tier tier = size < 2000 ? Tier::smoke : Tier::ci;
      const CrossEntropyParams p{n, classes, smoothing, padding};
      add<CrossEntropyInplaceForward>(Op::cross_entropy_inplace, Pass::forward, name, tier,
                                      {out(1), in_out_uniform(size, -8, 8), index(n, classes)},
                                      {.reduction = double(classes), .flops = 5.0 * double(size), .bytes = 8.0 * double(size)}, p);
      add<CrossEntropyInplaceBackward>(Op::cross_entropy_inplace, Pass::backward, name, tier, {in_out(size), in(1)},
                                       {.reduction = 1, .flops = double(size), .bytes = 8.0 * double(size)}, p);
    }
}

GRAFT_CASES(mse) {
  for (int64_t n : {1, 7, 8, 1001, 70001, 1 << 22}) {
    const auto name = fmt::format("n={}", n);
    const Tier tier = n < 100 ? Tier::smoke : n < 100000 ? Tier::ci : Tier::bench;
    add<MseForward>(Op::mse, Pass::forward, name, tier, {out(1), in(n), in(n)},
                    {.reduction = double(n), .flops = 3.0 * double(n), .bytes = 8.0 * double(n)}, MseParams{n});
    add<MseBackward>(Op::mse, Pass::backward, name, tier, {out(n), out(n), in(1), in(n), in(n)},
                     {.reduction = 1, .flops = 3.0 * double(n), .bytes = 16.0 * double(n)}, MseParams{n});
    add<MseBackward>(Op::mse, Pass::backward, name + " the other", tier, {absent(), out(n), in(1), in(n), in(n)},
                     {.reduction = 1, .flops = 2.0 * double(n), .bytes = 12.0 * double(n)}, MseParams{n});
    add<MseBackward>(Op::mse, Pass::backward, name + " one side", tier, {out(n), absent(), in(1), in(n), in(n)},
                     {.reduction = 1, .flops = 2.0 * double(n), .bytes = 12.0 * double(n)}, MseParams{n});
  }
}

}  // namespace graft::harness
