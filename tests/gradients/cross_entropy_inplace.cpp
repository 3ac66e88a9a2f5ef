// Cross-entropy that writes the gradient over the logits: against differences, and with the bits of the one that does not.
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
