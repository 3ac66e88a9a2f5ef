#include "nn/init.h"

#include <doctest/doctest.h>

#include "nn/layers/conv2d.h"
#include "nn_test.h"

using namespace graft;
using namespace graft::nn;

TEST_CASE("initialisation is a pure function of key and name") {
  for (Init init : {Init::he_normal, Init::glorot_uniform, Init::gaussian_2014}) {
    const auto a = make_initialized({"study_cnn", {28, 28, 1}, 5}, 3, init);
    const auto b = make_initialized({"study_cnn", {28, 28, 1}, 5}, 4, init);
    const auto c = make_initialized({"study_cnn", {28, 28, 1}, 7}, 3, init);  // another head
    const auto pa = a->named_parameters(), pb = b->named_parameters(), pc = c->named_parameters();
    for (size_t i = 0; i < pa.size(); ++i) {
      if (pa[i].first.ends_with("weight")) CHECK_FALSE(same_bits(pa[i].second, pb[i].second));
      if (!pa[i].first.starts_with("fc7")) CHECK(same_bits(pa[i].second, pc[i].second));
    }
    initialize(b->block(6), init, 9);
    const Tensor first = pb[12].second.clone();
    initialize(b->block(6), init, 9);
    CHECK(same_bits(first, pb[12].second));
    initialize(*b, init, 3);
    for (size_t i = 0; i < pa.size(); ++i) CHECK(same_bits(pa[i].second, pb[i].second));
  }
}

TEST_CASE("initialisation does not depend on the number of threads") {
  const Tensor a = Tensor::empty({100'003}), b = Tensor::empty({100'003});
  Context one(1), three(3);
  {
    ContextScope scope(one);
    fill_normal(a, 1, Philox{5, 0});
  }
  ContextScope scope(three);
  fill_normal(b, 1, Philox{5, 0});
  CHECK(same_bits(a, b));
}

TEST_CASE("initialisers have the deviations of their papers") {
  const auto deviation = [](const Tensor& t) {
    double sum = 0, squares = 0;
    for (double v : t.to_vector<double>()) sum += v, squares += v * v;
    const double n = double(t.numel());
    CHECK(std::abs(sum / n) < 5 * std::sqrt(squares) / n);
    return std::sqrt(squares / n);
  };
  Conv2d conv(32, 48, 3);  // fan_in 288, fan_out 432; of 13,824 values 5 standard errors of the deviation are 3 %
  initialize(conv, Init::he_normal, 1);
  CHECK(deviation(conv.weight) == doctest::Approx(std::sqrt(2.0 / 288)).epsilon(0.03));
  initialize(conv, Init::glorot_uniform, 1);
  CHECK(deviation(conv.weight) == doctest::Approx(std::sqrt(6.0 / (288 + 432) / 3)).epsilon(0.03));
  initialize(conv, Init::gaussian_2014, 1);
  CHECK(deviation(conv.weight) == doctest::Approx(0.01).epsilon(0.03));

  const auto net = make_initialized({"alexnet", {67, 67, 3}, 5}, 1, Init::gaussian_2014);
  for (auto& [name, t] : net->named_parameters()) {
    CAPTURE(name);
    if (name.ends_with("bias"))
      CHECK(t.to_vector<float>()[0] == (name == "conv1.bias" || name == "conv3.bias" || name == "fc8.bias" ? 0 : 1));
    else CHECK(deviation(t) == doctest::Approx(name == "fc6.weight" || name == "fc7.weight" ? 0.005 : 0.01).epsilon(0.03));
  }
}

TEST_CASE("initialisers have names") {
  for (Init init : {Init::he_normal, Init::glorot_uniform, Init::gaussian_2014}) CHECK(init_from_name(name(init)) == init);
  CHECK_THROWS_WITH_AS(init_from_name("xavier"),
                       "init: none is named 'xavier': expected one of he_normal, glorot_uniform, gaussian_2014", ConfigError);
}
