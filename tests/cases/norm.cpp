#include "kernels/norm/norm.h"

#include <fmt/core.h>

#include <cmath>

#include "tests/cases/makers.h"

namespace graft::harness {
namespace {

// weight and bias, or neither
std::vector<Arg> parameters(bool affine, int64_t channels) {
  return affine ? std::vector{in(channels), in(channels)} : std::vector{absent(), absent()};
}
Arg gradient(bool wanted, int64_t n) { return wanted ? out(n) : absent(); }

std::vector<Arg> join(std::vector<Arg> a, const std::vector<Arg>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Rows {
  int64_t rows, channels;
  Tier tier;
};
constexpr Rows kRows[] = {{2, 1, Tier::smoke},    {5, 3, Tier::smoke},      {64, 8, Tier::smoke},     {97, 17, Tier::smoke},
                          {2, 70001, Tier::ci},   {70001, 2, Tier::ci},     {1031, 67, Tier::ci},     {257, 512, Tier::ci},
                          {3, 264, Tier::smoke},  {9, 40, Tier::smoke},     {2, 2056, Tier::ci},      {1100, 8, Tier::ci},
                          {3, 8192, Tier::ci},    {2, 8200, Tier::ci},      {5, 1032, Tier::ci},      {70001, 8, Tier::ci},
                          {4100, 1800, Tier::ci}, {51200, 16, Tier::bench}, {12800, 64, Tier::bench}, {4096, 768, Tier::bench}};

// What a batch norm has beside x and its parameters.
struct Fused {
  int64_t n;
  Activation f;
  Residual with;
  bool relu() const { return f == Activation::relu; }
  bool added() const { return with == Residual::present; }
  std::string name(int64_t rows, int64_t channels, Affine affine) const {
    return fmt::format("rows={} channels={}{}{}{}", rows, channels, affine == Affine::yes ? "" : " plain",
                       added() ? " residual" : "", relu() ? " relu" : "");
  }
  Arg residual() const { return added() ? in(n) : absent(); }
  Arg dresidual() const { return gradient(added() && relu(), n); }
  Arg y() const { return relu() ? in(n) : absent(); }
};

std::vector<Arg> backward_args(const Fused& fused, bool affine, int64_t C) {
  return {out(fused.n), gradient(affine, C),  gradient(affine, C), fused.dresidual(),
          in(fused.n),  in(fused.n),          fused.y(),           affine ? in(C) : absent(),
          in(C),        in_uniform(C, 0.5, 2)};
}

}  // namespace

void add_batch_norm(Tier tier, int64_t rows, int64_t channels, Affine with, Activation f, Residual residual) {
  const bool affine = with == Affine::yes;
  const int64_t n = rows * channels, C = channels;
  const Fused fused{n, f, residual};
  const auto name = fused.name(rows, channels, with);
  const BatchNormParams p{rows, channels, 1e-5, 0.1, f};
  const double added = fused.added() ? 4 : 0, masked = fused.relu() ? 8 : 0;
  const Cost forward{.reduction = double(rows), .flops = 7.0 * double(n), .bytes = (12 + added) * double(n)};
  const Cost backward{.reduction = double(rows), .flops = 9.0 * double(n), .bytes = (20 + masked) * double(n)};
  if (rows > 4)  // two or three values may lie so close together that 1 / sqrt(var) amplifies rounding
    add<BatchNormForward>(
        Op::batch_norm, Pass::forward, name, tier,
        join(join({out(n), out(C), out(C), affine ? in_out(C) : absent(), affine ? in_out_uniform(C, 0.5, 2) : absent(), in(n)},
                  parameters(affine, C)),
             {fused.residual(), absent()}),
        forward, p);
  else
    add<BatchNormForward>(Op::batch_norm, Pass::forward, name, tier,
                          join(join({out(n), out(C), out(C), absent(), absent(), in_distinct(n)}, parameters(affine, C)),
                               {fused.residual(), absent()}),
                          forward, p);
  add<BatchNormBackward>(Op::batch_norm, Pass::backward, name, tier, backward_args(fused, affine, C), backward, p);
}

void add_batch_norm_frozen(Tier tier, int64_t rows, int64_t channels, Affine with, Activation f, Residual residual) {
  const bool affine = with == Affine::yes;
  const int64_t n = rows * channels, C = channels;
  const Fused fused{n, f, residual};
  const auto name = fused.name(rows, channels, with);
  const BatchNormParams p{rows, channels, 1e-5, 0, f};
  const double added = fused.added() ? 4 : 0, masked = (fused.relu() ? 4 : 0) + (fused.relu() && fused.added() ? 4 : 0);
  add<BatchNormFrozenForward>(Op::batch_norm_frozen, Pass::forward, name, tier,
                              join(join({out(n), in(n)}, parameters(affine, C)), {in(C), in_uniform(C, 0.5, 2), fused.residual()}),
                              {.reduction = 4, .flops = 3.0 * double(n), .bytes = (8 + added) * double(n)}, p);
  add<BatchNormFrozenBackward>(Op::batch_norm_frozen, Pass::backward, name, tier, backward_args(fused, affine, C),
                               {.reduction = double(rows), .flops = 5.0 * double(n), .bytes = (12 + masked) * double(n)}, p);
}

namespace {

// f(tier, rows, channels, ...) for every norm alone, and with what may follow it.
template <class F>
void for_batch_norms(F f) {
  constexpr int64_t kMostFused = 1 << 20;
  for (auto [rows, channels, tier] : kRows) {
    for (Affine with : {Affine::yes, Affine::no}) f(tier, rows, channels, with, Activation::none, Residual::absent);
    if (rows * channels > kMostFused && tier != Tier::bench) continue;
    f(tier, rows, channels, Affine::yes, Activation::relu, Residual::present);
    f(tier, rows, channels, Affine::no, Activation::relu, Residual::absent);
    f(tier, rows, channels, Affine::no, Activation::none, Residual::present);
  }
}

}  // namespace

GRAFT_CASES(batch_norm) {
  for_batch_norms(add_batch_norm);
  {  // on emu: more chunks of rows than one step of their merge takes
    const int64_t rows = 16600, C = 32, n = rows * C;
    const Cost cost{.reduction = double(rows), .flops = 9.0 * double(n), .bytes = 20.0 * double(n), .on_emu = true};
    const BatchNormParams p{rows, C, 1e-5, 0.1, Activation::none};
    add<BatchNormForward>(Op::batch_norm, Pass::forward, "rows=16600 channels=32", Tier::ci,
                          {out(n), out(C), out(C), in_out(C), in_out_uniform(C, 0.5, 2), in(n), in(C), in(C), absent(), absent()},
                          cost, p);
    add<BatchNormBackward>(Op::batch_norm, Pass::backward, "rows=16600 channels=32", Tier::ci,
                           backward_args({n, Activation::none, Residual::absent}, true, C), cost, p);
  }
  for (auto [rows, channels, tier] : kRows) {  // statistics that are known already
    const int64_t n = rows * channels, C = channels;
    if (tier == Tier::bench) continue;
    add<BatchNormForward>(
        Op::batch_norm, Pass::forward, fmt::format("rows={} channels={} statistics residual relu", rows, channels), tier,
        {out(n), out(C), out(C), in_out(C), in_out_uniform(C, 0.5, 2), in(n), in(C), in(C), in(n), in_uniform(2 * C, 0.5, 2)},
        {.reduction = 4, .flops = 4.0 * double(n), .bytes = 12.0 * double(n)},
        BatchNormParams{rows, channels, 1e-5, 0.1, Activation::relu});
  }
}

GRAFT_CASES(batch_norm_frozen) {
  for_batch_norms(add_batch_norm_frozen);
  for (auto [rows, C] : {std::pair<int64_t, int64_t>{9, 40}, {600, 8}}) {  // the residual's gradient, not that of x
    const int64_t n = rows * C;
    std::vector<Arg> args = backward_args({n, Activation::relu, Residual::present}, true, C);
    args[0] = absent();
    add<BatchNormFrozenBackward>(Op::batch_norm_frozen, Pass::backward, fmt::format("rows={} channels={} no dx", rows, C),
                                 Tier::smoke, args, {.reduction = double(rows), .flops = 5.0 * double(n)},
                                 BatchNormParams{rows, C, 1e-5, 0, Activation::relu});
  }
  const int64_t C = 40, n = 9 * C;
  add<BatchNormFrozenForward>(Op::batch_norm_frozen, Pass::forward, "rows=9 channels=40 relu NaN", Tier::smoke,
                              {out(n), in_holes(n, NAN), in(C), in(C), in(C), in_uniform(C, 0.5, 2), absent()},
                              {.reduction = 4, .flops = 3.0 * double(n)}, BatchNormParams{9, C, 1e-5, 0, Activation::relu});
}

GRAFT_CASES(group_norm) {
  struct Shape {
    int64_t batches, rows, channels, groups;
    Tier tier;
  };
  for (auto [batches, rows, channels, groups, tier] : {Shape{1, 5, 4, 2, Tier::smoke},
                                                       {2, 9, 6, 6, Tier::smoke},
                                                       {3, 16, 24, 4, Tier::smoke},
                                                       {2, 49, 17, 1, Tier::smoke},
                                                       {2, 1031, 34, 17, Tier::ci},
                                                       {1, 5, 70002, 3, Tier::ci},
                                                       {40001, 4, 2, 1, Tier::ci},
                                                       {32, 1024, 64, 8, Tier::bench}})
    for (bool affine : {true, false}) {
      const int64_t n = batches * rows * channels, sets = batches * groups, C = channels;
      const auto name =
          fmt::format("batches={} rows={} channels={} groups={}{}", batches, rows, channels, groups, affine ? "" : " plain");
      const GroupNormParams p{batches, rows, channels, groups, 1e-5};
      const double reduction = double(rows * std::max(batches, channels / groups));
      add<GroupNormForward>(Op::group_norm, Pass::forward, name, tier,
                            join({out(n), out(sets), out(sets), in(n)}, parameters(affine, C)),
                            {.reduction = reduction, .flops = 7.0 * double(n), .bytes = 12.0 * double(n)}, p);
      add<GroupNormBackward>(Op::group_norm, Pass::backward, name, tier,
                             {out(n), gradient(affine, C), gradient(affine, C), in(n), in(n), affine ? in(C) : absent(), in(sets),
                              in_uniform(sets, 0.5, 2)},
                             {.reduction = reduction, .flops = 9.0 * double(n), .bytes = 20.0 * double(n)}, p);
      if (tier == Tier::smoke && affine)
        add<GroupNormBackward>(Op::group_norm, Pass::backward, name + " dbias alone", tier,
                               {out(n), absent(), out(C), in(n), in(n), in(C), in(sets), in_uniform(sets, 0.5, 2)},
                               {.reduction = reduction, .flops = 9.0 * double(n), .bytes = 20.0 * double(n)}, p);
    }
}

void add_layer_norm(Tier tier, int64_t rows, int64_t channels, Affine with) {
  const bool on_emu = tier == Tier::ci && rows * channels < 600000 && rows > 500 && channels > 1024;
  const bool affine = with == Affine::yes;
  const int64_t n = rows * channels, C = channels;
  const auto name = fmt::format("rows={} channels={}{}", rows, channels, affine ? "" : " plain");
  const LayerNormParams p{rows, channels, 1e-5};
  const double reduction = double(std::max(rows, channels));
  add<LayerNormForward>(Op::layer_norm, Pass::forward, name, tier,
                        join({out(n), out(rows), out(rows), in(n)}, parameters(affine, C)),
                        {.reduction = reduction, .flops = 7.0 * double(n), .bytes = 8.0 * double(n)}, p);
  for (bool others : {false, true})  // another gradient of x
    add<LayerNormBackward>(
        Op::layer_norm, Pass::backward, name + (others ? " others" : ""), tier,
        {out(n), gradient(affine, C), gradient(affine, C), in(n), in(n), affine ? in(C) : absent(), in(rows),
         in_uniform(rows, 0.5, 2), others ? in(n) : absent()},
        {.reduction = reduction, .flops = 11.0 * double(n), .bytes = (others ? 16.0 : 12.0) * double(n), .on_emu = on_emu}, p);
}

GRAFT_CASES(layer_norm) {
  struct Shape {
    int64_t rows, channels;
    Tier tier;
  };
  for (auto [rows, channels, tier] :
       {Shape{1, 1, Tier::smoke}, {3, 7, Tier::smoke},   {17, 64, Tier::smoke}, {5, 264, Tier::smoke}, {600, 8, Tier::ci},
        {2200, 8, Tier::ci},      {20, 400, Tier::ci},   {19, 768, Tier::ci},   {11, 1000, Tier::ci},  {4, 1000, Tier::ci},
        {3, 1032, Tier::ci},      {530, 1032, Tier::ci}, {2, 2056, Tier::ci},   {1, 8192, Tier::ci},   {1, 8200, Tier::ci},
        {1, 32768, Tier::ci},     {1, 32776, Tier::ci},  {2, 70001, Tier::ci},  {70001, 5, Tier::ci},  {131, 257, Tier::ci},
        {4096, 768, Tier::bench}})
    for (Affine with : {Affine::yes, Affine::no}) add_layer_norm(tier, rows, channels, with);
}

GRAFT_CASES(lrn) {
  struct Shape {
    int64_t rows, channels, size;
    double alpha, beta, k;
    Tier tier;
  };
  for (auto [rows, channels, size, alpha, beta, k, tier] : {Shape{1, 1, 5, 1e-4, 0.75, 1, Tier::smoke},
                                                            {3, 7, 5, 0.5, 0.75, 2, Tier::smoke},
                                                            {5, 24, 4, 0.7, 0.5, 1, Tier::smoke},
                                                            {2, 17, 1, 1, 1, 0.5, Tier::smoke},
                                                            {2, 5, 31, 1, 0.6, 1, Tier::smoke},
                                                            {70001, 2, 3, 0.3, 0.75, 1, Tier::ci},
                                                            {2, 70001, 5, 0.3, 0.75, 1, Tier::ci},
                                                            {361, 96, 5, 1e-4, 0.75, 1, Tier::ci},
                                                            {48400, 96, 5, 1e-4, 0.75, 1, Tier::bench}}) {
    const int64_t n = rows * channels;
    const auto name = fmt::format("rows={} channels={} size={} alpha={} beta={} k={}", rows, channels, size, alpha, beta, k);
    const LrnParams p{rows, channels, size, alpha, beta, k};
    add<LrnForward>(Op::lrn, Pass::forward, name, tier, {out(n), in(n)},
                    {.reduction = double(size), .flops = double(n * (size + 8)), .bytes = 8.0 * double(n)}, p);
    add<LrnBackward>(Op::lrn, Pass::backward, name, tier, {out(n), in(n), in(n)},
                     {.reduction = double(size), .flops = double(n * (2 * size + 14)), .bytes = 12.0 * double(n)}, p);
  }
}

}  // namespace graft::harness
