#include "transfer/train.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/transfer/toy.h"
#include "transfer/evaluate.h"
#include "transfer/freeze.h"

using namespace graft;
using namespace graft::transfer;

namespace {

TrainConfig quick() {
  TrainConfig c;
  c.epochs = 3;
  c.batch = 16;
  c.preprocessing.normalization = {{0.4, 0.4, 0.4}, {0.2, 0.2, 0.2}};
  return c;
}

constexpr TrainKeys kKeys{7, 8};

}  // namespace

TEST_CASE("train: the study CNN learns, and its record adds up") {
  const io::Dataset data = toy::images(200, 1), test = toy::images(100, 2);
  auto net = toy::study_cnn(3);
  TrainConfig config = quick();
  config.epochs = 6;
  int calls = 0;
  TrainProgress last;
  TrainHooks hooks;
  hooks.progress = [&](const TrainProgress& p) { ++calls, last = p; };
  const TrainResult r = train(*net, data, kKeys, config, hooks);
  CHECK(r.status == TrainStatus::done);
  CHECK(r.steps == 6 * 13);
  CHECK(int64_t(r.losses.size()) == r.steps);
  CHECK(r.epochs.size() == 6);
  CHECK(calls == 8);  // every 10 of 78 steps, and the last
  CHECK(last.step == last.steps);
  CHECK(last.epoch == 6);
  CHECK(last.loss == r.epochs.back().loss);
  CHECK(r.proof.frozen == 0);
  CHECK(r.proof.trained == 14);
  CHECK(evaluate(*net, test, {.preprocessing = config.preprocessing}).accuracy > 0.9);
}

TEST_CASE("train: the same bits with any number of threads") {
  const io::Dataset data = toy::images(70, 1);  // a partial last batch
  uint64_t hash[2];
  for (int threads : {1, 2}) {
    Context context(threads);
    ContextScope scope(context);
    auto net = toy::norm_net(3);
    train(*net, data, kKeys, quick());
    hash[threads - 1] = hash_weights(*net);
  }
  CHECK(hash[0] == hash[1]);
}

TEST_CASE("train: frozen blocks keep every bit, with batch norm, weight decay, momentum and dropout") {
  const io::Dataset data = toy::images(64, 1);
  auto net = toy::norm_net(3);
  freeze(*net, "conv1-conv2");
  std::vector<uint64_t> before;
  for (const TensorState& s : tensor_states(*net)) before.push_back(hash_tensor(s.tensor));
  const TrainResult r = train(*net, data, kKeys, quick());
  CHECK(r.proof.frozen == 2 * 5);
  CHECK(r.proof.trained == 4);
  const auto states = tensor_states(*net);
  for (size_t i = 0; i < states.size(); ++i) {
    INFO(states[i].name);
    CHECK((hash_tensor(states[i].tensor) == before[i]) == states[i].frozen);
    CHECK(!states[i].tensor.grad());
  }
  freeze_first(*net, net->size());
  CHECK_THROWS_AS(train(*net, data, kKeys, quick()), ConfigError);
}

TEST_CASE("train: the proof finds a frozen tensor that moved and a trainable one that did not") {
  auto net = toy::norm_net(3);
  freeze_first(*net, 1);
  const FreezeProof proof(*net);
  const auto named = [&](const std::string& name) {
    for (const TensorState& s : tensor_states(*net))
      if (s.name == name) return s.tensor;
    FAIL("no tensor " << name);
    return Tensor{};
  };
  CHECK_THROWS_WITH_AS(proof.verify(*net, 0.1), "proof: conv2.conv.weight is trainable, and received no gradient", InternalError);
  CHECK(proof.verify(*net, 0).frozen == 5);
  for (auto& [name, p] : net->named_parameters())
    if (p.requires_grad()) p.set_grad(Tensor::zeros_like(p));
  CHECK(proof.verify(*net, 0.1).unchanged.size() == 7);
  named("fc4.bias").grad().fill(1);
  CHECK_THROWS_WITH_AS(proof.verify(*net, 0.1), "proof: fc4.bias is trainable with a gradient, and did not change", InternalError);
  named("fc4.bias").fill(0.5);
  CHECK(proof.verify(*net, 0.1).trained == 1);
  named("conv1.bn.running_mean").data<float>()[3] += 1e-6f;
  CHECK_THROWS_WITH_AS(proof.verify(*net, 0.1), "proof: conv1.bn.running_mean is frozen, and training changed it", InternalError);
}

TEST_CASE("train: a planted bug that changes one bit of a frozen tensor during training is found") {
  const io::Dataset data = toy::images(64, 1);
  for (const std::string victim : {"conv1.conv.weight", "conv1.bn.bias", "conv1.bn.running_var"}) {
    auto net = toy::norm_net(3);
    freeze_first(*net, 1);
    TrainHooks hooks;
    hooks.every = 1;
    hooks.progress = [&](const TrainProgress& p) {
      if (p.step != 2) return;
      for (const TensorState& s : tensor_states(*net))
        if (s.name == victim) s.tensor.raw_bytes()[0] ^= std::byte{1};  // the last bit of the mantissa
    };
    CHECK_THROWS_WITH_AS(train(*net, data, kKeys, quick(), hooks),
                         ("proof: " + victim + " is frozen, and training changed it").c_str(), InternalError);
  }
}

TEST_CASE("train: a norm that updates its statistics although it is frozen is found") {
  struct CarelessNorm : nn::Module {
    Tensor running_mean = Tensor::zeros({3});
    CarelessNorm() { add_buffer("running_mean", running_mean); }
    Tensor forward(const Tensor& x) override {
      if (training()) running_mean.data<float>()[0] += 0.1f * x.data<float>()[0];  // and does not ask frozen()
      return x;
    }
  };
  const io::Dataset data = toy::images(64, 1);
  const auto network = [] {
    auto net = std::make_unique<nn::Chain>();
    auto& block = net->add<nn::Chain>("norm");
    block.add<CarelessNorm>("careless");
    block.add<nn::Conv2d>("conv", 3, 4, 3, nn::ConvOptions{.padding = 1});
    net->add<nn::Linear>("fc", 16 * 16 * 4, 4, nn::LinearOptions{.image = {16, 16, 4}});
    nn::initialize(*net, nn::Init::he_normal, 3);
    return net;
  };
  CHECK(train(*network(), data, kKeys, quick()).status == TrainStatus::done);
  auto frozen = network();
  freeze_first(*frozen, 1);
  CHECK_THROWS_WITH_AS(train(*frozen, data, kKeys, quick()), "proof: norm.careless.running_mean is frozen, and training changed it",
                       InternalError);
}

TEST_CASE("train: stretch runs the same schedule over more steps; a step beside it changes the result") {
  TrainConfig c = quick();
  CHECK(total_steps(c, 70) == 15);
  c.stretch = 2;
  CHECK(total_steps(c, 70) == 30);
  c.stretch = 0.5;
  CHECK(total_steps(c, 70) == 8);
  const io::Dataset data = toy::images(70, 1);
  auto a = toy::study_cnn(3), b = toy::study_cnn(3);
  c.stretch = 1;
  train(*a, data, kKeys, c);
  c.stretch = 2;
  CHECK(train(*b, data, kKeys, c).steps == 30);
  CHECK(hash_weights(*a) != hash_weights(*b));
}

TEST_CASE("train: a loss or a weight that is not finite is a result, not an error") {
  const io::Dataset data = toy::images(64, 1);
  auto net = toy::study_cnn(3);
  net->named_parameters()[0].second.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  TrainResult r = train(*net, data, kKeys, quick());
  CHECK(r.status == TrainStatus::diverged);
  CHECK(r.steps == 1);
  CHECK(std::isnan(r.losses[0]));
  CHECK(std::isnan(evaluate(*net, data).loss));

  net = toy::study_cnn(3);
  TrainConfig c = quick();
  c.lr = 1e20;
  r = train(*net, data, kKeys, c);
  CHECK(r.status == TrainStatus::diverged);
  CHECK(r.steps < total_steps(c, 64));
}

TEST_CASE("train: interrupted at any step and resumed from its checkpoint, the final bits are the same") {
  const io::Dataset data = toy::images(70, 1);
  const std::filesystem::path file = std::filesystem::temp_directory_path() / "graft-test-resume.ckpt";
  std::filesystem::remove(file);
  const auto fresh = [] {
    auto net = toy::norm_net(3);
    freeze_first(*net, 1);
    return net;
  };
  auto whole = fresh();
  const TrainResult expected = train(*whole, data, kKeys, quick());
  for (int64_t stop : {1, 5, 7, 14}) {
    std::atomic<bool> cancel{false};
    TrainHooks hooks;
    hooks.checkpoint = file;
    hooks.cancel = &cancel;
    hooks.every = 1;
    hooks.progress = [&](const TrainProgress& p) { cancel = p.step == stop; };
    auto first = fresh();
    CHECK_THROWS_AS(train(*first, data, kKeys, quick(), hooks), Interrupted);
    REQUIRE(std::filesystem::exists(file));
    hooks.progress = nullptr;
    cancel = false;
    auto second = fresh();
    const TrainResult r = train(*second, data, kKeys, quick(), hooks);
    CHECK(hash_weights(*second) == hash_weights(*whole));
    CHECK(r.losses == expected.losses);
    CHECK(r.epochs.back().accuracy == expected.epochs.back().accuracy);
    CHECK(r.proof.trained == expected.proof.trained);
    CHECK(!std::filesystem::exists(file));
  }

  // A checkpoint of another training is refused.
  TrainHooks hooks;
  std::atomic<bool> cancel{true};
  hooks.checkpoint = file;
  hooks.cancel = &cancel;
  auto net = fresh();
  CHECK_THROWS_AS(train(*net, data, kKeys, quick(), hooks), Interrupted);
  TrainConfig other = quick();
  other.lr = 0.01;
  CHECK_THROWS_AS(train(*net, data, kKeys, other, hooks), ConfigError);
  std::filesystem::remove(file);
}

TEST_CASE("train: every schedule and multiplier by name, and what is wrong is said") {
  const io::Dataset data = toy::images(64, 1);
  for (const char* schedule : {"constant", "step", "cosine", "one_cycle", "slanted_triangular"}) {
    TrainConfig c = quick();
    c.schedule = schedule;
    c.epochs = 5;
    c.warmup = 0.1;
    c.clip_norm = 1;
    c.label_smoothing = 0.1;
    c.nesterov = true;
    c.bias_lr_multiplier = 2;
    c.bias_decay_multiplier = 0;
    auto net = toy::study_cnn(3);
    CHECK(train(*net, data, kKeys, c).status == TrainStatus::done);
  }
  const auto refused = [&](auto change) {
    TrainConfig c = quick();
    change(c);
    auto net = toy::study_cnn(3);
    CHECK_THROWS_AS(train(*net, data, kKeys, c), ConfigError);
  };
  refused([](TrainConfig& c) { c.schedule = "steps"; });
  refused([](TrainConfig& c) { c.epochs = 0; });
  refused([](TrainConfig& c) { c.batch = 0; });
  refused([](TrainConfig& c) { c.stretch = 0; });
  refused([](TrainConfig& c) { c.lr = -1; });
  refused([](TrainConfig& c) { c.label_smoothing = 1; });
  refused([](TrainConfig& c) { c.bias_lr_multiplier = 0; });
}

TEST_CASE("evaluate: the batch size changes no number") {
  const io::Dataset data = toy::images(53, 1);
  auto net = toy::norm_net(3);
  const Tensor all = predict(*net, data, {.batch = 53});
  const Evaluation expected = evaluate(*net, data, {.batch = 53});
  CHECK(expected.items == 53);
  for (int64_t batch : {1, 7, 52, 1000}) {
    CHECK(hash_tensor(predict(*net, data, {.batch = batch})) == hash_tensor(all));
    const Evaluation e = evaluate(*net, data, {.batch = batch});
    CHECK(e.correct == expected.correct);
    CHECK(e.loss == expected.loss);
  }
  CHECK(net->training());
  CHECK_THROWS_AS(evaluate(*net, io::Dataset{}), ConfigError);
}

TEST_CASE("score: ties go to the lowest class, NaN is never correct, the loss is the cross-entropy") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor logits = Tensor::from({1.f, 1.f, 0.f, 2.f, nan, 5.f}, {3, 2});
  CHECK(score(logits, Tensor::from<int64_t>({0, 1, 1}, {3})).correct == 2);
  CHECK(score(logits, Tensor::from<int64_t>({1, 0, 0}, {3})).correct == 0);
  const Evaluation e = score(Tensor::from({0.f, 0.f, 1000.f, 0.f}, {2, 2}), Tensor::from<int64_t>({0, 1}, {2}));
  CHECK(e.loss == doctest::Approx((std::log(2) + 1000) / 2));
  CHECK_THROWS_AS(score(logits, Tensor::from<int64_t>({0, 2, 0}, {3})), ConfigError);
}
