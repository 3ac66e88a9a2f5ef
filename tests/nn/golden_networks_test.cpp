// Whole networks against PyTorch's float64 (tests/golden/make_networks.py): in double on the reference kernels logits, losses of
// training steps, gradients and running statistics; in float on the fast kernels the logits and gradients of the first step, and
// the loss of every step from the weights that the training in double passes through.
#include <doctest/doctest.h>

#include <fstream>

#include "nn/optim/optimizer.h"
#include "nn_test.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/view.h"

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

Tensor as_f64(const Tensor& t) { return t.to(DType::f64).to(kRef); }

// A line of the file: a name, the projection and the norm of a tensor.
struct Summary {
  std::string name;
  double projection = 0, norm = 0;

  void check(const std::string& what, const Tensor& t, double tolerance) const {
    CHECK(what == name);
    CAPTURE(name);
    double mine = 0, square = 0;
    for (int64_t i = 0; const double v : t.span<double>()) {
      mine += v * uniform(i++, 7);
      square += v * v;
    }
    CHECK(std::abs(mine - projection) <= tolerance * norm);
    CHECK(std::abs(std::sqrt(square) - norm) <= tolerance * norm);
  }
};
Summary next_summary(std::istream& golden) {
  Summary s;
  std::string kind;
  golden >> kind >> s.name >> s.projection >> s.norm;
  return s;
}

struct Golden {  // a network of the file
  std::string name;
  int64_t size = 0, classes = 0, batch = 0, steps = 0;

  bool tokens() const { return name == "gpt2" || name == "encoder"; }
  static constexpr int64_t kVocabulary = 37;

  std::unique_ptr<Chain> make() const {
    const ModelSpec spec{name, {size, size, 3}, classes};
    const TransformerSize transformer{.layers = 2, .heads = 4, .dim = 32, .vocabulary = kVocabulary, .context = 16};
    if (name == "gpt2") return gpt2(transformer);
    if (name == "encoder") return bert(transformer, classes);
    if (name == "resnet_basic") return resnet(spec, {.blocks = {2, 1, 1, 1}, .width = 8});
    if (name == "resnet_bottleneck") return resnet(spec, {.blocks = {2, 1, 1, 1}, .bottleneck = true, .width = 8});
    return make_model(spec);
  }
  Tensor input(int64_t step) const {
    const Tensor x =
        tokens() ? Tensor::empty({batch, size}, DType::i64, kRef) : Tensor::empty({batch, size, size, 3}, DType::f64, kRef);
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double u = uniform(i, 1000 + step);
      if (tokens()) x.data<int64_t>()[i] = int64_t((u + 0.5) * double(kVocabulary));
      else x.data<double>()[i] = u * 4;
    }
    return x;
  }
  Tensor lengths(int64_t step) const {  // of the encoder's padded batch
    if (name != "encoder") return {};
    const Tensor t = Tensor::empty({batch}, DType::i64, kRef);
    for (int64_t i = 0; i < batch; ++i) t.data<int64_t>()[i] = (3 * i + step) % size + 1;
    return t;
  }
  // In float each layer adds eps (16 + 8 sqrt(n)) for its longest sum of n terms (tests/harness/compare.h): one over the inputs of
  // an output, or over all places of a batch.
  double float_tolerance(const Chain& net) const {
    double n = double(batch * size * (tokens() ? 1 : size)), layers = 0;
    for (auto& [_, t] : net.named_parameters()) {
      n = std::max(n, double(t.numel() / t.size(0)));
      layers += t.rank() > 1;
    }
    return layers * 0x1p-23 * (16 + 8 * std::sqrt(n));
  }
};

struct Outcome {
  Tensor logits, loss;
};
Outcome run(Chain& net, const Golden& g, int64_t step, DType dtype, Device device) {
  const Tensor x = g.input(step), lengths = g.lengths(step);
  if (lengths) net.set_lengths(lengths.to(device));
  Outcome result{net.forward((g.tokens() ? x : x.to(dtype)).to(device)), {}};
  const int64_t rows = result.logits.numel() / g.classes;
  const Tensor labels = Tensor::empty({rows}, DType::i64, device);
  for (int64_t i = 0; i < rows; ++i) labels.data<int64_t>()[i] = (3 * i + step) % g.classes;
  result.loss = cross_entropy(reshape(result.logits, {rows, g.classes}), labels);
  return result;
}

}  // namespace

TEST_CASE("networks follow PyTorch: logits, losses, first gradients and running statistics in double, and in float") {
  std::ifstream golden(std::string(GRAFT_SOURCE_DIR) + "/tests/golden/networks.txt");
  std::string word;
  int networks = 0;
  for (Golden g; golden >> word >> g.name >> g.size >> g.classes >> g.batch >> g.steps; ++networks) {
    REQUIRE(word == "network");
    CAPTURE(g.name);
    const auto exact = g.make(), fast = g.make();
    exact->to(DType::f64, kRef);
    fill_parameters(*exact);
    const auto params64 = exact->named_parameters(), params32 = fast->named_parameters();
    if (g.name == "alexnet") exact->train(false), fast->train(false);  // no dropout
    const double tolerance32 = g.float_tolerance(*fast);
    double worst = 0;
    Sgd optimizer({{params64}}, {.momentum = 0.9, .weight_decay = 5e-4});
    for (int64_t step = 0; step < g.steps; ++step) {
      CAPTURE(step);
      for (size_t i = 0; i < params32.size(); ++i) params32[i].second.copy_from(params64[i].second);
      const Outcome result64 = run(*exact, g, step, DType::f64, kRef), result32 = run(*fast, g, step, DType::f32, Device{});
      if (step == 0) {
        const Summary logits = next_summary(golden);
        logits.check(g.name, result64.logits, kTolerance);
        logits.check(g.name, as_f64(result32.logits), tolerance32);
        result32.loss.backward();
      }
      double expected;
      golden >> word >> expected;
      CHECK(std::abs(result64.loss.item() - expected) <= kTolerance);
      CHECK(std::abs(result32.loss.item() - expected) <= tolerance32 * expected);
      worst = std::max(worst, std::abs(result32.loss.item() / expected - 1));
      optimizer.zero_grad();
      result64.loss.backward();
      for (size_t i = 0; step == 0 && i < params64.size(); ++i) {
        const Summary gradient = next_summary(golden);
        gradient.check(params64[i].first, params64[i].second.grad(), kTolerance);
        gradient.check(params32[i].first, as_f64(params32[i].second.grad()), 2 * tolerance32);  // forward and backward
      }
      optimizer.step(0.02);
    }
    for (auto& [buffer, t] : exact->named_buffers()) next_summary(golden).check(buffer, t, kTolerance);
    MESSAGE(g.name, ": losses in float differ by ", worst, " at most, tolerance ", tolerance32);
  }
  CHECK(networks == 7);
}
