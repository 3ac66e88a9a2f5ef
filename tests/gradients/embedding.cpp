#include "tensor/ops/embedding.h"

#include <doctest/doctest.h>

#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient of embedding: a row that is taken twice gets both gradients") {
  const Tensor ids = Tensor::from<int64_t>({3, 0, 3, 1, 3, 4}, {2, 3}, {Backend::ref});
  CHECK(gradcheck([&](auto& x) { return embedding(x[0], ids); }, {random_input({6, 4}, 1)}) == "");
}

TEST_CASE("embedding refuses bad ids") {
  const Tensor weight = Tensor::zeros({6, 4});
  CHECK(embedding(weight, Tensor::from<int64_t>({5}, {1})).shape() == Shape{1, 4});
  CHECK_THROWS_WITH_AS(embedding(weight, Tensor::from<int64_t>({0, 6}, {2})), "embedding: ids: expected in [0, 6), got 6 at 1",
                       ShapeError);
  CHECK_THROWS_WITH_AS(embedding(weight, Tensor::from<int64_t>({-1}, {1})), "embedding: ids: expected in [0, 6), got -1 at 0",
                       ShapeError);
  CHECK_THROWS_WITH_AS(embedding(weight, Tensor::zeros({1})), "embedding: ids: expected i64, got f32", DtypeError);
}
