#include "tensor/ops/reduce.h"

#include <doctest/doctest.h>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of sum and mean") {
  const Tensor x = random_input({2, 3, 4, 5}, 1);
  CHECK(gradcheck([](auto& in) { return sum(in[0]); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return mean(in[0]); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return mean(in[0], {1, 2}); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return sum(in[0], {0, 2}, true); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return mean(in[0], {-1, 0}); }, {x}) == "");
}

TEST_CASE("sum and mean over axes") {
  const Tensor x = Tensor::from<float>({0, 1, 2, 3, 4, 5}, {2, 3});
  CHECK(sum(x).shape() == Shape{1});
  CHECK(sum(x).item() == 15);
  CHECK(sum(x, {0}).to_vector<float>() == std::vector<float>{3, 5, 7});
  CHECK(mean(x, {1}).to_vector<float>() == std::vector<float>{1, 4});
  CHECK(mean(x, {1}, true).shape() == Shape{2, 1});
  CHECK(sum(Tensor::zeros({2, 0}), {1}).to_vector<float>() == std::vector<float>{0, 0});
  CHECK_THROWS_WITH_AS(sum(x, {2}), "sum: axes: expected in [-2, 2), got 2", ShapeError);
  CHECK_THROWS_WITH_AS(sum(x, {0, -2}), "sum: axes: 0 twice", ShapeError);
  CHECK_THROWS_WITH_AS(mean(Tensor::zeros({2, 0}), {1}), "mean: x: [2, 0] has nothing to average", ShapeError);
}
