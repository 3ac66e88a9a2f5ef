#include <doctest/doctest.h>

#include "tensor/ops/activation.h"
#include "tensor/ops/axpby.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/conv2d.h"
#include "tensor/ops/linear.h"
#include "tensor/ops/matmul.h"
#include "tensor/ops/reduce.h"
#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

namespace {

Tensor input(const Shape& shape, uint64_t key) { return random_input(shape, key).detach().to(DType::f32).to(Device{}); }
bool same(const Tensor& a, const Tensor& b) { return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

}  // namespace

// A short step: relu's kink is crossed only by outputs within 1e-5 of zero.
constexpr GradcheckOptions kShortStep{.step = 2e-6};

TEST_CASE("gradient of matmul") {
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      INFO(ta, " ", tb);
      CHECK(gradcheck([&](auto& x) { return matmul(x[0], x[1], ta, tb); },
                      {random_input(ta ? Shape{2, 5, 3} : Shape{2, 3, 5}, 1),
                       random_input(tb ? Shape{2, 4, 5} : Shape{2, 5, 4}, 2)}) == "");
    }
}

TEST_CASE("gradient of linear") {
  for (Activation f : {Activation::none, Activation::relu, Activation::gelu})
    for (bool bias : {true, false}) {
      INFO(int(f), " ", bias);
      std::vector<Tensor> inputs{random_input({2, 3, 7}, 1), random_input({5, 7}, 2)};
      if (bias) inputs.push_back(random_input({5}, 3));
      CHECK(gradcheck([&](auto& x) { return linear(x[0], x[1], bias ? x[2] : Tensor(), f); }, inputs, kShortStep) == "");
    }
  CHECK(gradcheck([](auto& x) { return linear(x[0], x[1], x[2], Activation::none, x[3]); },
                  {random_input({2, 3, 7}, 1), random_input({5, 7}, 2), random_input({5}, 3), random_input({2, 3, 5}, 4)}) == "");
  CHECK(gradcheck([](auto& x) { return linear(mul(x[0], x[0]), x[1], {}, Activation::none, x[0]); },  // a residual block
                  {random_input({3, 5}, 1), random_input({5, 5}, 2)}) == "");
}

TEST_CASE("gradient of conv2d") {
  struct Geometry {
    Shape x, weight;
    Conv2dOptions options;
  };
  const std::vector<Geometry> geometries{
      {{2, 5, 4, 3}, {5, 3, 3, 3}, {.padding = 1, .activation = Activation::relu}},
      {{2, 7, 6, 4}, {6, 3, 2, 2}, {.stride = 2, .padding = 1, .groups = 2}},
      {{1, 7, 8, 2}, {4, 3, 3, 2}, {.stride = 3, .padding = 4, .dilation = 2, .activation = Activation::relu}},
      {{2, 3, 3, 2}, {3, 3, 3, 2}, {.activation = Activation::silu}},
      {{2, 6, 5, 4}, {4, 3, 3, 1}, {.stride = 2, .padding = 1, .groups = 4, .activation = Activation::relu}},  // depthwise
      {{1, 4, 4, 2}, {6, 2, 2, 1}, {.groups = 2}},
  };
  for (const auto& g : geometries)
    for (bool bias : {true, false}) {
      INFO(g.x.str(), " ", g.weight.str(), " ", bias);
      std::vector<Tensor> inputs{random_input(g.x, 1), random_input(g.weight, 2)};
      if (bias) inputs.push_back(random_input({g.weight[0]}, 3));
      CHECK(gradcheck([&](auto& x) { return conv2d(x[0], x[1], bias ? x[2] : Tensor(), g.options); }, inputs, kShortStep) == "");
    }
}

TEST_CASE("gradient of conv2d with a residual") {
  for (Activation f : {Activation::none, Activation::relu, Activation::gelu})
    for (int64_t groups : {1, 4}) {
      INFO("activation ", int(f), " groups ", groups);
      CHECK(gradcheck([&](auto& x) { return conv2d(x[0], x[1], {}, {.padding = 1, .groups = groups, .activation = f}, x[2]); },
                      {random_input({2, 4, 3, 4}, 1), random_input({4, 3, 3, 4 / groups}, 2), random_input({2, 4, 3, 4}, 3)},
                      kShortStep) == "");
    }
}

TEST_CASE("gradient of conv2d whose input has other uses") {  // later ones hand over their gradients, which its kernel adds
  for (Activation f : {Activation::none, Activation::relu})
    for (int64_t groups : {1, 4}) {
      INFO("activation ", int(f), " groups ", groups);
      CHECK(gradcheck(
                [&](auto& x) {
                  const Tensor sum = scale(x[0], 1.5), before = mul(sum, sum);
                  const Tensor y = conv2d(sum, x[1], {}, {.padding = 1, .groups = groups, .activation = f}, sum);
                  return add(add(before, y), mul(sum, y));
                },
                {random_input({2, 4, 3, 4}, 1), random_input({4, 3, 3, 4 / groups}, 2)}, kShortStep) == "");
    }
  CHECK(gradcheck(  // pixels that the convolution itself leaves out
            [](auto& x) {
              const Tensor sum = scale(x[0], 1.5), y = conv2d(sum, x[1], {}, {.stride = 2});
              return add(y, conv2d(sum, x[2], {}, {.stride = 2, .padding = 1}));
            },
            {random_input({1, 4, 4, 2}, 1), random_input({3, 1, 1, 2}, 2), random_input({3, 3, 3, 2}, 3)}) == "");
}

TEST_CASE("a gradient that is added inside of conv2d's gives the bits of a sum after it") {
  const Tensor w = input({5, 3, 3, 4}, 1), dy = input({2, 4, 3, 5}, 2), later = input({2, 7, 6, 4}, 3);
  const auto gradient = [&](bool with_later) {
    const Tensor leaf = input({2, 7, 6, 4}, 4);
    leaf.set_requires_grad(true);
    const Tensor x = scale(leaf, 1), y = conv2d(x, w, {}, {.stride = 2, .padding = 1});
    const Tensor loss = sum(mul(y, dy));
    (with_later ? add(loss, sum(mul(x, later))) : loss).backward();
    return leaf.grad();
  };
  CHECK(same(gradient(true), add(gradient(false), later)));
}

TEST_CASE("conv2d, linear and matmul name what does not fit") {
  const Tensor x = Tensor::zeros({1, 4, 4, 3});
  CHECK_THROWS_WITH_AS(conv2d(x, Tensor::zeros({8, 3, 3, 4})),
                       "conv2d: weight: expected [Cout, kh, kw, 3] for x [1, 4, 4, 3] and 1 groups, got [8, 3, 3, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, Tensor::zeros({8, 5, 5, 3})),
                       "conv2d: x: expected an image of at least the kernel 5x5 with dilation 1, got [1, 4, 4, 3] with padding 0",
                       ShapeError);
  CHECK_THROWS_WITH_AS(conv2d(x, Tensor::zeros({8, 3, 3, 3}), Tensor::zeros({7})), "conv2d: bias: expected [8], got [7]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(linear(Tensor::zeros({2, 6}), Tensor::zeros({3, 5})), "linear: x: expected [.., 5], got [2, 6]", ShapeError);
  const Tensor r = Tensor::zeros({2, 4}), w = Tensor::zeros({3, 6});
  CHECK_THROWS_WITH_AS(linear(Tensor::zeros({2, 6}), w, {}, Activation::none, r), "linear: residual: expected [2, 3], got [2, 4]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(linear(Tensor::zeros({2, 6}), w, {}, Activation::relu, Tensor::zeros({2, 3})),
                       "linear: residual: expected no activation with it", ConfigError);
  CHECK_THROWS_AS(matmul(Tensor::zeros({2, 3}), Tensor::zeros({4, 5})), ShapeError);
  CHECK_THROWS_AS(matmul(Tensor::zeros({2, 3}), Tensor::zeros({3, 5}, DType::f64)), DtypeError);
}

TEST_CASE("a row of linear and an image of conv2d have the same bits in every batch") {
  const Tensor w = input({37, 700}, 1), f = input({19, 3, 3, 5}, 2);
  const Tensor x = input({131, 700}, 3), y = linear(x, w);
  for (int64_t i : {0, 5, 6, 95, 96, 130}) CHECK(same(linear(x.rows(i, i + 1), w), y.rows(i, i + 1)));
  const Tensor image = input({7, 13, 9, 5}, 4), z = conv2d(image, f, {}, {.stride = 2, .padding = 1});
  for (int64_t i = 0; i < 7; ++i) CHECK(same(conv2d(image.rows(i, i + 1), f, {}, {.stride = 2, .padding = 1}), z.rows(i, i + 1)));
}

TEST_CASE("gelu inside of linear, without a gradient, gives the bits of gelu after it") {
  const Tensor x = input({7, 20}, 3), w = input({9, 20}, 1), bias = input({9}, 2);
  const Tensor after = activation(linear(x, w, bias), Activation::gelu);
  CHECK(same(linear(x, w, bias, Activation::gelu), after));
  const Tensor trained = w.clone();
  trained.set_requires_grad(true);
  const Tensor recorded = linear(x, trained, bias, Activation::gelu);
  CHECK(recorded.requires_grad());
  CHECK(same(recorded.detach(), after));
}

TEST_CASE("a residual inside of linear gives the bits of a sum after it") {
  const Tensor x = input({7, 20}, 3), w = input({9, 20}, 1), bias = input({9}, 2), residual = input({7, 9}, 4);
  CHECK(same(linear(x, w, bias, Activation::none, residual), add(residual, linear(x, w, bias))));
}

TEST_CASE("NaN passes through linear and conv2d, zeros and relu included") {
  const Tensor x = Tensor::zeros({1, 3, 3, 2});
  x.fill(std::nan(""));
  for (double v : conv2d(x, Tensor::zeros({17, 3, 3, 2}), {}, {.padding = 1, .activation = Activation::relu}).to_vector<double>())
    CHECK(std::isnan(v));
  for (double v : linear(x, Tensor::zeros({9, 2}), {}, Activation::relu).to_vector<double>()) CHECK(std::isnan(v));
}
