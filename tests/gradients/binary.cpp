#include "tensor/ops/binary.h"

#include <doctest/doctest.h>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of add, sub and mul with every kind of broadcast") {
  for (auto kind : {Binary::add, Binary::sub, Binary::mul})
    for (auto [a, b] : {std::pair<Shape, Shape>{{3, 4}, {3, 4}},
                        {{3, 4}, {4}},
                        {{3, 4}, {3, 1}},
                        {{3, 1}, {1, 4}},
                        {{2, 3, 4, 5}, {2, 1, 1, 5}},
                        {{1}, {2, 3}},
                        {{2, 1, 3, 1}, {4, 1, 5}},
                        {{2, 3}, {2, 3, 2, 3}}}) {
      INFO(int(kind), " ", a.str(), " ", b.str());
      CHECK(gradcheck([&](auto& x) { return binary(x[0], x[1], kind); }, {random_input(a, 1), random_input(b, 2)}) == "");
      CHECK(gradcheck([&](auto& x) { return binary(x[0], x[0], kind); }, {random_input(a, 1)}) == "");
    }
}

TEST_CASE("broadcasting follows NumPy") {
  const Tensor a = Tensor::from<float>({1, 2, 3}, {3}), b = Tensor::from<float>({10, 20}, {2, 1});
  CHECK(add(a, b).shape() == Shape{2, 3});
  CHECK(add(a, b).to_vector<float>() == std::vector<float>{11, 12, 13, 21, 22, 23});
  CHECK(sub(b, a).to_vector<float>() == std::vector<float>{9, 8, 7, 19, 18, 17});
  CHECK(mul(Tensor::full({1}, 2), a).to_vector<float>() == std::vector<float>{2, 4, 6});
  CHECK_THROWS_WITH_AS(add(a, Tensor::zeros({2})), "add: shapes [3] and [2] do not fit together", ShapeError);
  CHECK_THROWS_WITH_AS(mul(a, Tensor::zeros({3}, DType::f64)), "mul: b: expected f32, got f64", DtypeError);
  CHECK_THROWS_AS(mul(Tensor::zeros({2, 1, 2, 1, 2}), Tensor::zeros({1, 2, 1, 2, 1})), ShapeError);
}
