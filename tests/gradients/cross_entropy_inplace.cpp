// Cross-entropy that writes the gradient over the logits: against differences, and with the bits of the one that does not; and of
// logits that it makes itself.
#include <doctest/doctest.h>

#include "tensor/ops/axpby.h"
#include "tensor/ops/loss.h"
#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

TEST_CASE("gradient cross_entropy_inplace") {
  const Tensor labels = Tensor::from<int64_t>({2, 0, 4}, {3}, {Backend::ref});
  for (double smoothing : {0.0, 0.1})
    for (double factor : {1.0, 3.0})
      CHECK(gradcheck(
                [&](const std::vector<Tensor>& in) {
                  return scale(cross_entropy_inplace(scale(in[0], 1), labels, smoothing), factor);
                },
                {random_input(smoothing > 0 ? Shape{3, 1, 5} : Shape{3, 5}, 1)}) == "");
}

TEST_CASE("cross_entropy_inplace leaves the gradient in the logits") {
  const Tensor x = Tensor::from<float>({0.5f, -1, 2, 0, 3, 1}, {2, 3}), labels = Tensor::from<int64_t>({2, 1}, {2});
  x.set_requires_grad(true);
  const Tensor logits = scale(x, 1), loss = cross_entropy_inplace(logits, labels);
  loss.backward();
  CHECK(x.grad().to_vector<float>() == logits.to_vector<float>());
  const Tensor y = Tensor::from<float>({0.5f, -1, 2, 0, 3, 1}, {2, 3});
  y.set_requires_grad(true);
  const Tensor other = cross_entropy(y, labels);
  other.backward();
  CHECK(loss.item() == other.item());
  CHECK(x.grad().to_vector<float>() == y.grad().to_vector<float>());
  CHECK_THROWS_WITH_AS(cross_entropy_inplace(x, Tensor::from<int64_t>({3, 1}, {2})),
                       "cross_entropy: labels: row 0: expected 0 to 2, got 3", ShapeError);
}

TEST_CASE("cross_entropy_inplace: padding is not read, its gradient is zero") {
  const Tensor x = Tensor::from<float>({0.5f, -1, 2, 1e30f, 0, 3, 1, NAN}, {2, 4}), labels = Tensor::from<int64_t>({2, 1}, {2});
  x.set_requires_grad(true);
  const Tensor loss = cross_entropy_inplace(scale(x, 1), labels, 0.1, 1);
  loss.backward();
  const Tensor y = Tensor::from<float>({0.5f, -1, 2, 0, 3, 1}, {2, 3});
  y.set_requires_grad(true);
  const Tensor other = cross_entropy(y, labels, 0.1);
  other.backward();
  CHECK(loss.item() == other.item());
  const auto dx = x.grad().to_vector<float>(), dy = y.grad().to_vector<float>();
  CHECK(std::vector{dx[0], dx[1], dx[2], dx[4], dx[5], dx[6]} == dy);
  CHECK(dx[3] == 0);
  CHECK_THROWS_WITH_AS(cross_entropy_inplace(x, labels, 0, 4), "cross_entropy_inplace: padding: expected 0 to 3, got 4",
                       ShapeError);
  CHECK_THROWS_WITH_AS(cross_entropy_inplace(x, Tensor::from<int64_t>({3, 1}, {2}), 0, 1),
                       "cross_entropy: labels: row 0: expected 0 to 2, got 3", ShapeError);
}

TEST_CASE("gradient linear_cross_entropy") {  // f64: padded to 2
  const Tensor labels = Tensor::from<int64_t>({2, 0, 4}, {3}, {Backend::ref});
  for (int64_t classes : {5, 6})
    CHECK(gradcheck([&](const std::vector<Tensor>& in) { return linear_cross_entropy(in[0], in[1], labels, 0.1); },
                    {random_input({3, 4}, 1), random_input({classes, 4}, 2)}) == "");
}
