#include "nn/optim/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/common/registry.h"
#include "nn/optim/clip.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/reduce.h"
#include "tests/harness/gradcheck.h"
#include "tests/harness/skip.h"

using namespace graft;
using namespace graft::nn;

namespace {

Tensor parameter(std::initializer_list<double> values) {
  return Tensor::from(values, {int64_t(values.size())}, {Backend::ref}).set_requires_grad(true);
}

void give_gradient(const Tensor& p, double value) { p.set_grad(Tensor::full(p.shape(), value, p.dtype(), p.device())); }

// The gradient of step t: not constant, so that the state matters.
double gradient(int t) { return std::cos(t) + 0.25; }

}  // namespace

TEST_CASE("SGD: momentum, Nesterov and decay as PyTorch defines them") {
  for (auto [momentum, decay, nesterov] :
       {std::tuple{0.0, 0.0, false}, {0.0, 0.1, false}, {0.9, 0.0, false}, {0.9, 0.1, false}, {0.9, 0.1, true}}) {
    const Tensor p = parameter({1, -2});
    Sgd sgd({{{{"p", p}}}}, {momentum, decay, nesterov});
    double w = -2, v = 0;
    for (int t = 0; t < 10; ++t) {
      give_gradient(p, gradient(t));
      sgd.step(0.1);
      const double g = gradient(t) + decay * w;
      v = t == 0 ? g : momentum * v + g;
      w -= 0.1 * (nesterov ? g + momentum * v : v);
      CHECK(p.to_vector<double>()[1] == doctest::Approx(w).epsilon(1e-14));
    }
  }
}

TEST_CASE("AdamW: bias-corrected moments and decoupled decay") {
  const Tensor p = parameter({0.5});
  AdamW adamw({{{{"p", p}}}}, {0.7, 0.99, 1e-8, 0.1});
  double w = 0.5, m = 0, v = 0;
  for (int t = 1; t <= 10; ++t) {
    const double g = gradient(t);
    give_gradient(p, g);
    adamw.step(0.01);
    m = 0.7 * m + 0.3 * g;
    v = 0.99 * v + 0.01 * g * g;
    w -= 0.01 * (0.1 * w + m / (1 - std::pow(0.7, t)) / (std::sqrt(v / (1 - std::pow(0.99, t))) + 1e-8));
    CHECK(p.item() == doctest::Approx(w).epsilon(1e-13));
  }
}

TEST_CASE("the first AdamW step has the size of the rate, whatever the gradient") {
  for (double g : {1e-3, 1.0, -1e4}) {
    const Tensor p = parameter({0});
    AdamW adamw({{{{"p", p}}}}, {.weight_decay = 0});
    give_gradient(p, g);
    adamw.step(0.01);
    CHECK(p.item() == doctest::Approx(g > 0 ? -0.01 : 0.01).epsilon(1e-4));
  }
}

TEST_CASE("multipliers of a group") {
  const Tensor a = parameter({1}), b = parameter({1}), c = parameter({1});
  Sgd sgd({{{{"a", a}}}, {{{"b", b}}, 2, 0}, {{{"c", c}}, 0, 1}}, {.weight_decay = 0.5});
  for (const Tensor& p : {a, b, c}) give_gradient(p, 1);
  sgd.step(0.1);
  CHECK(a.item() == doctest::Approx(1 - 0.1 * 1.5));
  CHECK(b.item() == doctest::Approx(1 - 0.2));
  CHECK(c.item() == 1);
}

TEST_CASE("an optimizer refuses what would be a false result") {
  const Tensor a = parameter({1}), b = parameter({2}), frozen = parameter({3});
  frozen.set_requires_grad(false);
  CHECK_THROWS_WITH_AS(Sgd({{{{"a", a}, {"conv1.weight", frozen}}}}),
                       "optimizer: conv1.weight is frozen: leave it out of the groups", ConfigError);
  CHECK_THROWS_WITH_AS(Sgd({{{{"a", a}}}, {{{"b", a}}}}), "optimizer: b is in the groups twice", ConfigError);
  CHECK_THROWS_WITH_AS(Sgd({}), "optimizer: no parameters", ConfigError);
  CHECK_THROWS_AS(Sgd({{{{"a", a}}}}, {.nesterov = true}), ConfigError);
  CHECK_THROWS_AS(Sgd({{{{"a", a}}}}, {.momentum = 1}), ConfigError);
  CHECK_THROWS_AS(AdamW({{{{"a", a}}}}, {.beta2 = 1}), ConfigError);
  CHECK_THROWS_AS(Sgd({{{{"a", a}}, -1}}), ConfigError);

  Sgd sgd({{{{"a", a}, {"fc.bias", b}}}});
  give_gradient(a, 1);
  CHECK_THROWS_WITH_AS(sgd.step(0.1), "optimizer: fc.bias has no gradient: it took no part in the loss", Error);
  CHECK(a.item() == 1);
  CHECK(sgd.steps() == 0);
  give_gradient(b, 1);
  b.set_requires_grad(false);
  CHECK_THROWS_WITH_AS(sgd.step(0.1), "optimizer: fc.bias was frozen after the optimizer was made", Error);
}

TEST_CASE("a graph from before a step refuses to run backward") {
  const Tensor a = parameter({3});
  Sgd sgd({{{{"a", a}}}});
  const Tensor loss = mul(a, a);
  give_gradient(a, 1);
  sgd.step(0.1);
  CHECK_THROWS_AS(loss.backward(), Error);
  sgd.zero_grad();
  CHECK(!a.grad());
}

TEST_CASE("an optimizer goes on from its saved state with the same bits") {
  const auto run = [](auto make) {
    const Tensor a = parameter({1, 2, 3}), b = parameter({1, 2, 3});
    auto first = make(a), second = make(b);
    for (int t = 0; t < 6; ++t) {
      give_gradient(a, gradient(t));
      first->step(0.1);
      if (t == 2) {
        second->load_state(first->state());
        b.copy_from(a);
      }
      if (t <= 2) continue;
      give_gradient(b, gradient(t));
      second->step(0.1);
    }
    CHECK(first->steps() == second->steps());
    CHECK(a.to_vector<double>() == b.to_vector<double>());
  };
  run([](const Tensor& p) { return std::make_unique<Sgd>(std::vector<ParamGroup>{{{{"p", p}}}}, SgdOptions{.momentum = 0.9}); });
  run([](const Tensor& p) { return std::make_unique<AdamW>(std::vector<ParamGroup>{{{{"p", p}}}}); });
}

TEST_CASE("a state that does not fit is refused as a whole") {
  const Tensor p = parameter({1, 2});
  Sgd sgd({{{{"p", p}}}}, {.momentum = 0.9});
  CHECK(sgd.state().size() == 2);
  CHECK(sgd.state()[1].first == "p.velocity");
  const NamedTensors bad{{"steps", Tensor::from<int64_t>({4}, {1})},
                         {"p.velocity", Tensor::zeros({3}, DType::f64)},
                         {"q.velocity", Tensor::zeros({2})}};
  CHECK_THROWS_WITH_AS(sgd.load_state(bad), "optimizer state: p.velocity: expected f64[2], got f64[3]; unexpected q.velocity",
                       LoadError);
  CHECK_THROWS_WITH_AS(sgd.load_state({}), "optimizer state: missing steps; missing p.velocity", LoadError);
  CHECK(sgd.steps() == 0);
}

TEST_CASE("clipping inside of a step has the bits of clip_grad_norm before it") {
  const auto train = [](bool inside, double max_norm) {
    const Tensor a = Tensor::from<float>({1, -2, 0.5f}, {3}), b = Tensor::from<float>({0.25f, 3}, {2});
    for (const Tensor& p : {a, b}) p.set_requires_grad(true);
    const NamedTensors params{{"a", a}, {"b", b}};
    AdamW adamw({{params}});
    for (int t = 0; t < 5; ++t) {
      a.set_grad(Tensor::from<float>({float(gradient(t)), 0.3f, -1}, {3}));
      b.set_grad(Tensor::from<float>({0.1f, float(t)}, {2}));
      if (!inside) clip_grad_norm(params, max_norm);
      adamw.step(0.01, inside ? max_norm : 0);
    }
    std::vector<float> all = a.to_vector<float>();
    for (float v : b.to_vector<float>()) all.push_back(v);
    return all;
  };
  for (double max_norm : {0.5, 100.0}) CHECK(train(true, max_norm) == train(false, max_norm));
  CHECK(train(true, 0.5) != train(true, 100.0));
}

TEST_CASE("a parameter in bf16 follows its master, which a step too small for bf16 moves as well") {
  if (!has_kernel(Op::sgd, Pass::step, Backend::emu, DType::bf16)) return harness::not_run("this build has no emu kernels");
  const Device emu{Backend::emu};
  const Tensor master = Tensor::from<float>({1, -2, 0.1f}, {3}, emu), p = master.to(DType::bf16);
  p.set_requires_grad(true);
  Sgd sgd({{{{"p", p}}}}, {}, {{"p", master}});
  for (int t = 0; t < 8; ++t) {
    p.set_grad(Tensor::full({3}, 1, DType::bf16, emu));
    sgd.step(0x1p-10);  // bf16 has no number between 1 and 1 - 2^-8
  }
  CHECK(master.to_vector<float>() == std::vector<float>{1 - 0x1p-7f, -2 - 0x1p-7f, 0.1f - 0x1p-7f});
  CHECK(p.to_vector<float>() == master.to(DType::bf16).to_vector<float>());
  CHECK(p.to_vector<float>()[0] == 1 - 0x1p-7f);
  CHECK(sgd.state()[1].first == "p.master");
  CHECK_THROWS_WITH_AS(Sgd({{{{"p", p}}}}, {}, {{"p", Tensor::zeros({2}, DType::f32, emu)}}),
                       doctest::Contains("optimizer: master of p: expected f32[3] on emu, got f32[2]"), ConfigError);
}

TEST_CASE("a prepared step reads rate, number and clipping where the kernels read") {
  const auto train = [](bool prepared) {
    const Tensor p = Tensor::from<float>({1, -2, 0.5f}, {3});
    p.set_requires_grad(true);
    AdamW adamw({{{{"p", p}}}});
    for (int t = 0; t < 3; ++t) {
      p.set_grad(Tensor::from<float>({float(gradient(t)), 0.3f, -1}, {3}));
      const double lr = 0.01 / (t + 1);
      if (!prepared) adamw.step(lr, 0.5);
      else adamw.prepare(lr, 0.5), adamw.step_prepared();
    }
    CHECK(adamw.steps() == 3);
    return p.to_vector<float>();
  };
  CHECK(train(true) == train(false));
}
