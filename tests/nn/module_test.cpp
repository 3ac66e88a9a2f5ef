// The tree of modules: names, freezing, random streams, conversion, chains.
#include "nn/module.h"

#include <doctest/doctest.h>

#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/pool2d.h"
#include "nn_test.h"

using namespace graft;
using namespace graft::nn;

namespace {

std::vector<std::string> names_of(const NamedTensors& list) {
  std::vector<std::string> names;
  for (auto& [name, t] : list) names.push_back(name);
  return names;
}

void backward_of_sum(const Tensor& y) { y.backward(Tensor::full(y.shape(), 1)); }

}  // namespace

TEST_CASE("paths are dotted, in definition order; an empty name adds no level") {
  Chain net;
  auto& block = net.add<Chain>("conv1");
  block.add<Conv2d>("", 3, 4, 3, ConvOptions{.bias = false});
  block.add<BatchNorm2d>("bn", 4);
  block.add<MaxPool2d>("pool", Pool2dOptions{.kernel = 2});
  net.append("head", "", std::make_unique<Linear>(4, 2));
  CHECK(names_of(net.named_parameters()) ==
        std::vector<std::string>{"conv1.weight", "conv1.bn.weight", "conv1.bn.bias", "weight", "bias"});
  CHECK(names_of(net.named_buffers()) == std::vector<std::string>{"conv1.bn.running_mean", "conv1.bn.running_var"});
  CHECK(net.index("head") == 1);
  CHECK(net.path(1).empty());
  CHECK_THROWS_WITH_AS(net.index("fc9"), "chain: no block is named fc9 (there are conv1, head)", ConfigError);
  CHECK_THROWS_WITH_AS(net.add<Chain>("head"), "chain: there is already a block named head", ConfigError);
  CHECK_THROWS_AS(net.block(2), ConfigError);
}

TEST_CASE("weights are NaN until they are initialised or loaded") {
  Linear fc(3, 2);
  CHECK_FALSE(all_finite(fc.weight));
  initialize(fc, Init::he_normal, 1);
  CHECK(all_finite(fc.weight));
  CHECK(fc.bias.to_vector<float>() == std::vector<float>{0, 0});
}

TEST_CASE("set_frozen switches the whole subtree and drops gradients") {
  auto net = make_initialized({"mlp", {2, 2, 1}, 2});
  net->block(0).set_frozen(true);
  backward_of_sum(net->forward(random_images(2, {2, 2, 1})));
  for (auto& [name, t] : net->named_parameters()) {
    const bool frozen = name.starts_with("fc1.");
    CHECK(t.requires_grad() == !frozen);
    CHECK(t.grad().defined() == !frozen);
  }
  net->set_frozen(true);
  for (auto& [name, t] : net->named_parameters()) CHECK_FALSE(t.grad().defined());
  net->set_frozen(false);
  for (auto& [name, t] : net->named_parameters()) CHECK(t.requires_grad());
}

TEST_CASE("frozen batch norm in training mode: running statistics used, unchanged bit for bit, gradient to x") {
  BatchNorm2d bn(4);
  const Tensor x = random_images(3, {5, 5, 4}, 3);
  bn.forward(x);  // moves the statistics
  CHECK(bn.running_mean.to_vector<float>()[0] != 0);
  const NamedTensors before = copy_of(bn.named_buffers());
  bn.set_frozen(true);
  REQUIRE(bn.training());
  const Tensor leaf = x.clone().set_requires_grad(true);
  const Tensor y = bn.forward(leaf);
  for (size_t i = 0; i < before.size(); ++i) CHECK(same_bits(before[i].second, bn.named_buffers()[i].second));
  backward_of_sum(y);
  CHECK(all_finite(leaf.grad()));
  CHECK_FALSE(bn.weight.grad().defined());
  bn.train(false);
  CHECK(same_bits(bn.forward(x), y));
  bn.train(true);
  bn.set_frozen(false);
  CHECK_FALSE(same_bits(bn.forward(x), y));
}

TEST_CASE("dropout: named by key, path and step; repeatable; frozen stays random; evaluation is the identity") {
  const Tensor x = Tensor::full({1, 1, 1, 1000}, 1);
  const auto mask = [&](const char* path, uint64_t key, uint64_t step, bool frozen = false) {
    Chain net;
    net.add<Dropout>(path, 0.5);
    CHECK(net.random());
    net.set_frozen(frozen);
    net.set_random(key, step);
    return net.forward(x);
  };
  const Tensor y = mask("drop6", 1, 1);
  CHECK(same_bits(y, mask("drop6", 1, 1)));
  CHECK(same_bits(y, mask("drop6", 1, 1, true)));
  CHECK_FALSE(same_bits(y, mask("drop7", 1, 1)));
  CHECK_FALSE(same_bits(y, mask("drop6", 2, 1)));
  CHECK_FALSE(same_bits(y, mask("drop6", 1, 2)));
  int64_t kept = 0, other = 0;
  for (float v : y.to_vector<float>()) {
    kept += v == 2;
    other += v != 0 && v != 2;
  }
  CHECK(other == 0);
  CHECK(std::abs(kept - 500) < 80);  // five standard deviations

  Dropout drop(0.5);
  CHECK_THROWS_WITH_AS(drop.forward(x), doctest::Contains("call set_random"), Error);
  drop.train(false);
  CHECK(drop.forward(x).same_as(x));
  CHECK_FALSE(Dropout(0).random());
  CHECK_THROWS_AS(Dropout(1), ConfigError);
}

TEST_CASE("to() converts parameters and buffers and keeps what is frozen") {
  auto net = make_initialized({"resnet20", {8, 8, 3}, 2});
  net->block(0).set_frozen(true);
  const std::vector<float> before = net->named_parameters()[3].second.to_vector<float>();
  net->to(DType::f64, Device{Backend::ref});
  for (auto& [name, t] : net->named_parameters()) CHECK(t.dtype() == DType::f64);
  for (auto& [name, t] : net->named_buffers()) CHECK(t.dtype() == DType::f64);
  CHECK_FALSE(net->named_parameters()[0].second.requires_grad());
  CHECK(net->named_parameters()[3].second.requires_grad());
  CHECK(net->named_parameters()[3].second.to_vector<float>() == before);
  net->train(false);
  const Tensor x = random_images(1, {8, 8, 3}).to(DType::f64).to(Device{Backend::ref});
  CHECK(all_finite(net->forward(x)));
}
