#include "kernels/matmul/linear.h"

#include <fmt/core.h>

#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {

void add_linear(Tier tier, const LinearParams& p, Bias bias, Residual residual) {
  const bool with_bias = bias == Bias::present;
  const int64_t nx = p.rows * p.in, nw = p.out * p.in, ny = p.rows * p.out;
  const bool relu = p.activation == Activation::relu, gelu = p.activation == Activation::gelu;
  const bool added = residual == Residual::present;
  const auto name =
      fmt::format("rows={} in={} out={}{}{}{}", p.rows, p.in, p.out, with_bias ? "" : " no-bias", added ? " residual" : "",
                  relu   ? " relu"
                  : gelu ? " gelu"
                         : "");
  const auto cost = [&](int64_t reduction) {
    return Cost{.reduction = double(reduction), .flops = 2.0 * double(ny) * double(p.in), .bytes = 4.0 * double(nx + nw + ny)};
  };
  add<LinearForward>(Op::linear, Pass::forward, name, tier,
                     {out(ny), in(nx), in(nw), with_bias ? in(p.out) : absent(), added ? in(ny) : absent()}, cost(p.in + added), p);
  if (gelu || added) return;  // no gradient; the same one
  add<LinearDgrad>(Op::linear, Pass::dgrad, name, tier, {out(nx), in(ny), in(nw), relu ? in(ny) : absent()}, cost(p.out), p);
  add<LinearWgrad>(Op::linear, Pass::wgrad, name, tier,
                   {out(nw), with_bias ? out(p.out) : absent(), in(ny), in(nx), relu ? in(ny) : absent()}, cost(p.rows), p);
}

GRAFT_CASES(linear) {
  for (LinearParams p : {LinearParams{3, 10, 7, Activation::relu}, {5, 8, 16, Activation::relu}}) {  // a NaN of y stops no gradient
    const int64_t ny = p.rows * p.out;
    const auto name = fmt::format("rows={} in={} out={} relu NaN", p.rows, p.in, p.out);
    const Cost cost{.reduction = double(p.out), .flops = 2.0 * double(ny) * double(p.in)};
    add<LinearDgrad>(Op::linear, Pass::dgrad, name, Tier::smoke, {out(p.rows * p.in), in(ny), in(p.out * p.in), in_holes(ny, NAN)},
                     cost, p);
    add<LinearWgrad>(Op::linear, Pass::wgrad, name, Tier::smoke,
                     {out(p.out * p.in), out(p.out), in(ny), in(p.rows * p.in), in_holes(ny, NAN)}, cost, p);
  }
  for (Activation f : {Activation::none, Activation::relu})
    for (Bias bias : {Bias::present, Bias::absent}) {
      add_linear(Tier::smoke, {1, 1, 1, f}, bias);
      add_linear(Tier::smoke, {3, 10, 7, f}, bias);
      add_linear(Tier::ci, {50, 64, 5, f}, bias);
      add_linear(Tier::ci, {131, 33, 1, f}, bias);
      add_linear(Tier::ci, {17, 700, 130, f}, bias);
    }
  const Activation relu = Activation::relu;
  add_linear(Tier::smoke, {5, 8, 11, Activation::gelu}, Bias::present);
  add_linear(Tier::smoke, {67, 16, 72, Activation::gelu}, Bias::absent);
  for (Activation f : {Activation::none, relu, Activation::gelu})
    for (int64_t out : {7, 72}) add_linear(Tier::smoke, {67, 16, out, f}, Bias::present, Residual::present);
  add_linear(Tier::smoke, {70, 24, 8, relu}, Bias::present);               // units of 16 bytes in any type
  add_linear(Tier::smoke, {37, 8, 264, Activation::none}, Bias::present);  // columns beyond a warp of vectors
  add_linear(Tier::ci, {1100, 16, 8, Activation::none}, Bias::present);    // parts of k in wgrad
  for (int64_t out : {136, 141})  // pairs of tiles of 128 rows; lines of y in units of 16 bytes or not
    for (Activation f : {Activation::none, relu}) add_linear(Tier::ci, {152, 72, out, f}, Bias::present);
  for (int64_t out : {136, 141}) add_linear(Tier::ci, {300, 328, out, Activation::none}, Bias::present, Residual::present);
  add_linear(Tier::full, {70001, 8, 8, relu}, Bias::present);
  add_linear(Tier::bench, {2048, 768, 3072, Activation::gelu}, Bias::present);
  add_linear(Tier::bench, {50, 768, 128, relu}, Bias::present);  // the study CNN
  add_linear(Tier::bench, {50, 128, 64, relu}, Bias::present);
  add_linear(Tier::bench, {50, 64, 5, Activation::none}, Bias::present);
  add_linear(Tier::bench, {2048, 384, 1536, relu}, Bias::present);
}

}  // namespace graft::harness
