#include "tensor/ops/activation.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace graft;

TEST_CASE("activations saturate, and keep NaN") {
  const Tensor x = Tensor::from<float>({NAN, 500, 90, -90, -500, INFINITY}, {6});
  for (Device device : {Device{}, Device{Backend::ref}}) {
    const auto run = [&](Activation kind) { return activation(x.to(device), kind).to_vector<double>(); };
    for (auto kind : {Activation::relu, Activation::relu6, Activation::gelu, Activation::silu, Activation::tanh,
                      Activation::sigmoid, Activation::gelu_tanh}) {
      INFO(int(kind));
      CHECK(std::isnan(run(kind)[0]));
    }
    const auto sigmoid = run(Activation::sigmoid), silu = run(Activation::silu), tanh = run(Activation::tanh);
    CHECK(sigmoid[1] == 1);
    CHECK(sigmoid[3] < 1e-38);
    CHECK(sigmoid[4] == 0);
    CHECK(sigmoid[5] == 1);
    CHECK(std::abs(silu[4]) < 1e-30);
    CHECK(tanh[4] == -1);
    CHECK(run(Activation::gelu_tanh)[1] == 500);
    CHECK(run(Activation::gelu_tanh)[4] == 0);
    CHECK(tanh[5] == 1);
  }
}
