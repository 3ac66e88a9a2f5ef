#include <doctest/doctest.h>

#include <cmath>

#include "nn/optim/clip.h"
#include "nn/optim/ema.h"

using namespace graft;
using namespace graft::nn;

TEST_CASE("gradients are clipped by their joint norm") {
  const Tensor a = Tensor::zeros({2}).set_requires_grad(true), b = Tensor::zeros({1}).set_requires_grad(true),
               c = Tensor::zeros({1}).set_requires_grad(true);
  const auto give = [&](float last) {
    a.set_grad(Tensor::from<float>({3, 0}, {2}));
    b.set_grad(Tensor::from({last}, {1}));
  };
  const NamedTensors params{{"a", a}, {"b", b}, {"c", c}};
  give(4);
  CHECK(clip_grad_norm(params, 10) == doctest::Approx(5));
  CHECK(a.grad().to_vector<float>() == std::vector<float>{3, 0});
  CHECK(clip_grad_norm(params, 1) == doctest::Approx(5));
  CHECK(a.grad().to_vector<float>()[0] == doctest::Approx(0.6));
  CHECK(b.grad().item() == doctest::Approx(0.8));
  CHECK(!c.grad());
  give(NAN);
  CHECK(std::isnan(clip_grad_norm(params, 1)));
  CHECK(a.grad().to_vector<float>()[0] == 3);
  CHECK(std::isnan(b.grad().item()));
  CHECK_THROWS_AS(clip_grad_norm(params, 0), ConfigError);
}

TEST_CASE("EMA follows its closed form and swaps in and out") {
  const Tensor p = Tensor::full({3}, 1);
  Ema ema({{"p", p}}, 0.9);
  for (int t = 0; t < 5; ++t) {
    p.fill(2);
    ema.update();
  }
  const double want = 2 - std::pow(0.9, 5);  // from 1 towards 2
  CHECK(ema.averages()[0].second.to_vector<double>()[2] == doctest::Approx(want));
  ema.swap();
  CHECK(p.to_vector<double>()[0] == doctest::Approx(want));
  ema.swap();
  CHECK(p.to_vector<double>()[0] == 2);
  CHECK_THROWS_AS(Ema({{"p", p}}, 1), ConfigError);
}
