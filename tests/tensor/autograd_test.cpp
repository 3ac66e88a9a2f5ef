#include "tensor/autograd.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/ops/activation.h"
#include "tensor/ops/axpby.h"
#include "tensor/ops/binary.h"

using namespace graft;

namespace {
Tensor leaf(std::initializer_list<float> v) { return Tensor::from(v, {int64_t(v.size())}).set_requires_grad(true); }
Tensor ones_like(const Tensor& t) { return Tensor::full(t.shape(), 1, t.dtype(), t.device()); }
}  // namespace

TEST_CASE("backward accumulates into leaves: twice without zeroing doubles") {
  const Tensor x = leaf({1, -2, 3});
  for (int i = 1; i <= 2; ++i) {
    const Tensor y = scale(relu(x), 3);
    y.backward(ones_like(y));
    CHECK(x.grad().to_vector<float>() == std::vector<float>{3.f * float(i), 0, 3.f * float(i)});
  }
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("gradients of two uses add up, and the caller's dy is not changed") {
  const Tensor x = leaf({1, 2});
  const Tensor y = relu(scale(x, 2));
  const Tensor dy = ones_like(y);
  y.backward(dy);
  scale(x, 5).backward(dy);
  CHECK(x.grad().to_vector<float>() == std::vector<float>{7, 7});
  CHECK(dy.to_vector<float>() == std::vector<float>{1, 1});
}

TEST_CASE("an op may take the gradient that its input has so far, and returns the sum, once") {
  for (bool twice : {false, true}) {
    const Tensor x = leaf({1, 2}), middle = scale(x, 1), before = scale(middle, 3), y = Tensor::from({0.f, 0.f}, {2});
    bool taken = false;
    record("toy", y, {middle, middle}, [&](const Tensor& dy, const Needs& needs) {
      const Tensor so_far = needs.take(0);
      taken = so_far.defined();
      CHECK_FALSE(needs.take(1).defined());  // the same tensor
      return std::vector{so_far ? add(dy, so_far) : dy, dy};
    });
    const Tensor sum = add(before, y), after = scale(middle, 5), dy = ones_like(y);
    (twice ? add(sum, after) : sum).backward(dy);
    CHECK(taken == twice);
    CHECK(x.grad().to_vector<float>() == std::vector<float>(2, twice ? 10.f : 5.f));
    CHECK(dy.to_vector<float>() == std::vector<float>{1, 1});
  }
}

TEST_CASE("an op without a backward throws when it is recorded, not later") {
  const Tensor x = leaf({1});
  const Tensor y = Tensor::from({1.f}, {1});
  const auto missing = [] { return Gradient::missing(); };
  CHECK_THROWS_WITH_AS(record("toy", y, {x}, missing), doctest::Contains("toy: has no backward"), NotImplemented);
  record("toy", y, {x}, [] { return Gradient::non_differentiable(); });
  CHECK_FALSE(y.requires_grad());
  record("toy", y, {x.detach()}, missing);  // nobody needs it: fine
}

TEST_CASE("a closure that loses a gradient, or gives a wrong shape, is an error") {
  const Tensor x = leaf({1, 2});
  const Tensor y = Tensor::from({1.f}, {1});
  record("toy", y, {x}, [](const Tensor&, const Needs&) { return std::vector<Tensor>(1); });
  CHECK_THROWS_WITH_AS(y.backward(), doctest::Contains("toy lost the gradient of its input 0"), InternalError);
  const Tensor z = Tensor::from({1.f}, {1});
  record("toy", z, {x}, [](const Tensor&, const Needs&) { return std::vector{Tensor::zeros({3})}; });
  CHECK_THROWS_WITH_AS(z.backward(), doctest::Contains("expected [2], got [3]"), InternalError);
}

TEST_CASE("an input changed in place after the op ran is refused") {
  const Tensor x = leaf({1, 2});
  const Tensor y = relu(x);
  x.fill(5);
  CHECK_THROWS_WITH_AS(y.backward(ones_like(y)), doctest::Contains("changed in place"), Error);
}

TEST_CASE("a graph is freed by its backward") {
  const Tensor x = leaf({1});
  const Tensor y = relu(x);
  y.backward();
  CHECK_THROWS_WITH_AS(y.backward(), doctest::Contains("already freed"), Error);
}

TEST_CASE("nothing is recorded without gradients") {
  const Tensor x = leaf({1});
  {
    NoGrad guard;
    CHECK_FALSE(relu(x).requires_grad());
  }
  CHECK(relu(x).requires_grad());
  CHECK_FALSE(relu(x.detach()).requires_grad());
  CHECK_THROWS_AS(relu(x.detach()).backward(), Error);
}

TEST_CASE("tensors: views share, errors name what is wrong, types convert") {
  const Tensor t = Tensor::from({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}, {3, 2});
  CHECK(t.rows(1, 2).to_vector<float>() == std::vector<float>{3, 4});
  t.rows(1, 2).fill(9);
  CHECK(t.view({6}).to_vector<float>() == std::vector<float>{1, 2, 9, 9, 5, 6});
  CHECK_THROWS_WITH_AS(t.view({4}), doctest::Contains("[3, 2] has 6 elements, [4] has 4"), ShapeError);
  CHECK_THROWS_AS(t.data<double>(), DtypeError);
  CHECK_THROWS_AS(Tensor().shape(), Error);
  CHECK_THROWS_AS(t.rows(2, 4), ShapeError);
  CHECK_THROWS_AS(Tensor::empty({1}, DType::f32, {Backend::cuda}), DeviceError);
  CHECK_THROWS_AS(Tensor::empty({int64_t{1} << 40, int64_t{1} << 40}), ShapeError);
  for (DType d : {DType::f16, DType::bf16, DType::f64, DType::i32, DType::i64, DType::u8})
    CHECK(t.to(d).to(DType::f32).to_vector<float>() == t.to_vector<float>());
  CHECK(Tensor::full({1}, 65504, DType::f16).item() == 65504);
  CHECK(std::isinf(Tensor::full({1}, 65520, DType::f16).item()));
  CHECK(Tensor::full({1}, 0x1p-24, DType::f16).item() == 0x1p-24);
  CHECK(std::isnan(Tensor::full({1}, NAN, DType::bf16).item()));
}
