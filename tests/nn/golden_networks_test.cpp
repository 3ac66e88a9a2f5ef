// Whole networks in double on the reference kernels against PyTorch's float64 (tests/golden/make_networks.py): losses of
// training steps, gradients, running statistics.
#include <doctest/doctest.h>

#include <fstream>

#include "nn/optim/optimizer.h"
#include "nn_test.h"
#include "tensor/ops/loss.h"

using namespace graft;
using namespace graft::nn;

namespace {

constexpr Device kRef{Backend::ref};
// The bound for trajectories in double: PyTorch's float64 stays within 2e-12 of itself for 100 steps of the study CNN.
constexpr double kTolerance = 1e-9;

// The i-th number in [-1/2, 1/2): murmur3's finaliser of i + 2^20 salt.
double uniform(int64_t i, int64_t salt) {
  uint32_t h = uint32_t(uint64_t(i) + (uint64_t(salt) << 20));
  h = (h ^ (h >> 16)) * 0x85EBCA6B;
  h = (h ^ (h >> 13)) * 0xC2B2AE35;
  return double(h ^ (h >> 16)) / 4294967296.0 - 0.5;
}

void fill_parameters(Chain& net) {
  int64_t salt = 0;
  for (auto& [name, t] : net.named_parameters()) {
    const double fan_in = double(t.numel()) / double(t.size(0));
    for (int64_t i = 0; i < t.numel(); ++i) {
      double& value = t.data<double>()[i];
      if (t.rank() > 1) value = uniform(i, salt) * (2 * std::sqrt(6 / fan_in));
      else value = uniform(i, salt) * 0.2 + (name.ends_with("weight") ? 1 : 0);
    }
    ++salt;
  }
}

void check_tensor(const std::string& name, const Tensor& t, std::istream& golden) {
  std::string expected_name;
  double projection, norm, mine = 0, square = 0;
  golden >> expected_name >> projection >> norm;
  CHECK(name == expected_name);
  CAPTURE(name);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double v = t.data<double>()[i];
    mine += v * uniform(i, 7);
    square += v * v;
  }
  CHECK(std::abs(mine - projection) <= kTolerance * norm);
  CHECK(std::abs(std::sqrt(square) - norm) <= kTolerance * norm);
}

}  // namespace

TEST_CASE("networks in double follow PyTorch's float64: losses, first gradients, running statistics") {
  std::ifstream golden(std::string(GRAFT_SOURCE_DIR) + "/tests/golden/networks.txt");
  std::string word, name;
  int networks = 0;
  for (golden >> word; golden && word == "network"; ++networks) {
    int64_t size, classes, batch, steps;
    golden >> name >> size >> classes >> batch >> steps;
    CAPTURE(name);
    auto net = make_model({name, {size, size, 3}, classes});
    net->to(DType::f64, kRef);
    fill_parameters(*net);
    if (name == "alexnet") net->train(false);  // no dropout
    Sgd optimizer({{net->named_parameters()}}, {.momentum = 0.9, .weight_decay = 5e-4});
    for (int64_t step = 0; step < steps; ++step) {
      const Tensor x = Tensor::empty({batch, size, size, 3}, DType::f64, kRef);
      for (int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = uniform(i, 1000 + step) * 4;
      const Tensor labels = Tensor::empty({batch}, DType::i64, kRef);
      for (int64_t i = 0; i < batch; ++i) labels.data<int64_t>()[i] = (3 * i + step) % classes;
      const Tensor loss = cross_entropy(net->forward(x), labels);
      double expected;
      golden >> word >> expected;
      CAPTURE(step);
      CHECK(std::abs(loss.item() - expected) <= kTolerance);
      optimizer.zero_grad();
      loss.backward();
      if (step == 0)
        for (auto& [parameter, t] : net->named_parameters()) {
          golden >> word;
          check_tensor(parameter, t.grad(), golden);
        }
      optimizer.step(0.02);
    }
    for (auto& [buffer, t] : net->named_buffers()) {
      golden >> word;
      check_tensor(buffer, t, golden);
    }
    golden >> word;
  }
  CHECK(networks == 3);
}
