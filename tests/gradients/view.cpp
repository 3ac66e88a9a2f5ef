#include "tensor/ops/view.h"

#include <doctest/doctest.h>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of views and copies") {
  const Tensor x = random_input({2, 3, 4, 5}, 1), z = random_input({2, 3, 2, 5}, 2);
  CHECK(gradcheck([](auto& in) { return reshape(in[0], {6, 20}); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return flatten(in[0]); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return slice(in[0], 2, 1, 3); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return slice(in[0], -1, 0, 5); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return slice(in[0], 0, 1, 1); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return concat({in[0], in[1], in[0]}, 2); }, {x, z}) == "");
  CHECK(gradcheck([](auto& in) { return permute(in[0], {0, 3, 1, 2}); }, {x}) == "");
  CHECK(gradcheck([](auto& in) { return permute(in[0], {2, 0, -1, 1}); }, {x}) == "");
}

TEST_CASE("views and copies hold the elements they should") {
  const Tensor x = Tensor::from<float>({0, 1, 2, 3, 4, 5}, {2, 3});
  CHECK(permute(x, {1, 0}).to_vector<float>() == std::vector<float>{0, 3, 1, 4, 2, 5});
  CHECK(slice(x, 1, 1, 3).to_vector<float>() == std::vector<float>{1, 2, 4, 5});
  CHECK(concat({x, slice(x, 1, 0, 1)}, 1).to_vector<float>() == std::vector<float>{0, 1, 2, 0, 3, 4, 5, 3});
  CHECK(concat({x, x}, 0).shape() == Shape{4, 3});
  CHECK(flatten(x.view({2, 3, 1})).raw() == x.raw());
  CHECK_THROWS_WITH_AS(reshape(x, {4}), "reshape: [2, 3] has 6 elements, [4] has 4", ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, 1, 2, 4), "slice: [2, 4) of axis 1 of [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(slice(x, 2, 0, 1), "slice: axis: expected in [-2, 2), got 2", ShapeError);
  CHECK_THROWS_WITH_AS(concat({x, x.view({3, 2})}, 1), "concat: expected [2, 3] except for axis 1, got [3, 2]", ShapeError);
  CHECK_THROWS_WITH_AS(permute(x, {0, 0}), "permute: axes: 0 twice", ShapeError);
}
