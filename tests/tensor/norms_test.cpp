// What pooling, normalisation and losses promise beyond their formulas.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tensor/ops/activation.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/norm.h"
#include "tensor/ops/pool2d.h"
#include "tensor/ops/softmax.h"
#include "tests/harness/compare.h"
#include "tests/harness/gradcheck.h"

using namespace graft;
using namespace graft::harness;

namespace {

constexpr Device kRef{Backend::ref};
const float kNan = std::numeric_limits<float>::quiet_NaN();

Tensor as_float(const Tensor& t) { return t.to(DType::f32).to(Device{}); }
Tensor normal(Shape shape, uint64_t key) { return as_float(random_input(shape, key)); }

bool same_bits(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

}  // namespace

TEST_CASE("max_pool2d backward on clipped windows: cpu is ref") {
  for (Pool2dOptions o : {Pool2dOptions{3, 2, 1}, {3, 2, 1, true}, {2, 2, 0, true}, {5, 3, 2, true}, {17, 4, 8}})
    for (int64_t c : {1, 3, 8, 21}) {
      INFO(o.kernel, " ", o.stride, " ", o.padding, " ", c);
      const Tensor a = random_input({2, 19, 18, c}, 5), b = as_float(a).set_requires_grad(true);
      const Tensor y = max_pool2d(a, o), z = max_pool2d(b, o);
      const Tensor dy = random_input(y.shape(), 6).detach();
      y.backward(dy);
      z.backward(as_float(dy));
      const auto expected = a.grad().to_vector<double>();
      const auto r = compare<double>(b.grad().to_vector<double>(), expected, rounding(0x1p-23, 25, expected));
      CHECK_MESSAGE(r.ok, r.report);
    }
}

TEST_CASE("equal maxima: the first gets the gradient") {
  const Tensor x = Tensor::full({1, 2, 4, 3}, 1).set_requires_grad(true);
  max_pool2d(x, {2}).backward(Tensor::full({1, 1, 2, 3}, 5));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{5, 5, 5, 0, 0, 0, 5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("a NaN stays visible") {
  for (Device device : {Device{}, kRef}) {
    const auto any = [](const Tensor& t) {
      int n = 0;
      for (float v : t.to_vector<float>()) n += std::isnan(v);
      return n;
    };
    const Tensor x = normal({2, 4, 4, 9}, 1).to(device);
    x.data<float>()[4] = kNan;
    const Tensor w = Tensor::full({9}, 1, DType::f32, device), rows = x.view({32, 9});
    CHECK(any(max_pool2d(x, {2})) == 1);
    CHECK(any(avg_pool2d(x, {2})) == 1);
    CHECK(any(softmax(rows)) == 9);
    CHECK(any(log_softmax(rows)) == 9);
    CHECK(any(cross_entropy(rows, Tensor::zeros({32}, DType::i64, device))) == 1);
    CHECK(any(mse(rows, Tensor::zeros({32, 9}, DType::f32, device))) == 1);
    CHECK(any(batch_norm(x, w, w, {}, {}, true)) == 32);
    CHECK(any(batch_norm(x, w, w, w, w, false)) == 1);
    CHECK(any(group_norm(x, w, w, 3)) == 48);
    CHECK(any(layer_norm(x, w, w)) == 9);
    CHECK(any(lrn(x, 5, 0.1, 0.75)) == 5);
    CHECK(any(lrn(x, 5, 0.1, 0.6)) == 5);
  }
}

TEST_CASE("a large mean costs the variance no digits") {
  // x = 10^4 + integers / 1024, exact in float: its deviations are known exactly.
  const int64_t rows = 5000, channels = 11;
  const Tensor x = Tensor::empty({rows, channels});
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = 10000.0f + float((i * 7919) % 2048) / 1024.0f;
  const Tensor exact = x.to(DType::f64).to(kRef);
  const auto check_close = [&](const Tensor& a, const Tensor& b) {
    const auto expected = b.to_vector<double>();
    const auto r = compare<double>(a.to_vector<double>(), expected, rounding(0x1p-23, double(rows), expected));
    CHECK_MESSAGE(r.ok, r.report);
  };
  const Tensor mean = Tensor::zeros({channels}), var = Tensor::zeros({channels});
  const Tensor exact_mean = Tensor::zeros({channels}, DType::f64, kRef), exact_var = Tensor::zeros({channels}, DType::f64, kRef);
  check_close(batch_norm(x, {}, {}, mean, var, true), batch_norm(exact, {}, {}, exact_mean, exact_var, true));
  check_close(mean, exact_mean);
  check_close(var, exact_var);
  check_close(group_norm(x.view({5, 1000, channels}), {}, {}, 1), group_norm(exact.view({5, 1000, channels}), {}, {}, 1));
  check_close(layer_norm(x, {}, {}), layer_norm(exact, {}, {}));
}

TEST_CASE("a row does not depend on the batch around it") {
  const Tensor x = normal({7, 5, 5, 19}, 2), w = normal({19}, 3), var = Tensor::full({19}, 0.7);
  const auto alone = [&](auto f) { CHECK(same_bits(f(x).rows(3, 4), f(x.rows(3, 4)))); };
  alone([&](const Tensor& t) { return batch_norm(t, w, w, w, var, false); });
  alone([&](const Tensor& t) { return group_norm(t, w, w, 1); });
  alone([&](const Tensor& t) { return instance_norm(t, w, w); });
  alone([&](const Tensor& t) { return layer_norm(t, w, w); });
  alone([&](const Tensor& t) { return lrn(t, 5); });
  alone([&](const Tensor& t) { return softmax(t); });
  alone([&](const Tensor& t) { return log_softmax(t); });
  alone([&](const Tensor& t) { return max_pool2d(t, {3, 2, 1}); });
  alone([&](const Tensor& t) { return avg_pool2d(t, {3, 2, 1}); });
}

TEST_CASE("a fused batch norm has the bits of norm, sum and relu one after another") {
  // What takes part in the graph: x, weight and bias, residual.
  struct Needed {
    bool x, parameters, residual;
  };
  for (Device device : {Device{}, kRef, Device{Backend::emu}})
    for (bool training : {true, false})
      for (auto [of_x, of_parameters, of_residual] :
           {Needed{true, true, true}, {true, false, true}, {false, true, false}, {false, false, true}, {true, false, false}})
        for (int64_t channels : {24, 5})
          for (Activation f : {Activation::none, Activation::relu}) {
            INFO(name(device), training, of_x, of_parameters, of_residual, channels, int(f));
            struct Result {
              Tensor y, mean, var;
              std::vector<Tensor> leaves;
            };
            const auto run = [&](auto norm) {
              const auto leaf = [&](Shape shape, uint64_t key, bool needed) {
                return normal(shape, key).to(device).set_requires_grad(needed);
              };
              Result r{{},
                       normal({channels}, 5).to(device),
                       Tensor::full({channels}, 2, DType::f32, device),
                       {leaf({3, 7, channels}, 1, of_x), leaf({channels}, 2, of_parameters), leaf({channels}, 3, of_parameters),
                        leaf({3, 7, channels}, 4, of_residual)}};
              r.y = norm(r);
              r.y.backward(normal({3, 7, channels}, 6).to(device));
              return r;
            };
            const Result fused = run([&](const Result& r) {
              const auto& l = r.leaves;
              return batch_norm(l[0], l[1], l[2], r.mean, r.var, training, {.activation = f}, l[3]);
            });
            const Result apart = run([&](const Result& r) {
              const auto& l = r.leaves;
              return activation(add(batch_norm(l[0], l[1], l[2], r.mean, r.var, training), l[3]), f);
            });
            CHECK(same_bits(fused.y, apart.y));
            CHECK(same_bits(fused.mean, apart.mean));
            CHECK(same_bits(fused.var, apart.var));
            for (size_t i = 0; i < fused.leaves.size(); ++i) {
              const Tensor a = fused.leaves[i].grad(), b = apart.leaves[i].grad();
              CHECK(a.defined() == b.defined());
              CHECK(a.defined() == (i == 0 ? of_x : i == 3 ? of_residual : of_parameters));
              if (a && b) CHECK(same_bits(a, b));
            }
          }
}

TEST_CASE("a batch norm without an activation hands its gradient on to the residual, uncopied") {
  const Tensor x = normal({4, 6}, 1), residual = normal({4, 6}, 2).set_requires_grad(true), dy = normal({4, 6}, 3);
  batch_norm(x, {}, {}, {}, {}, true, {}, residual).backward(dy);
  CHECK(residual.grad().raw() == dy.raw());
}

TEST_CASE("evaluation and frozen layers leave running statistics alone") {
  const Tensor x = normal({4, 6}, 1), mean = normal({6}, 2), var = Tensor::full({6}, 2);
  const Tensor mean_before = mean.clone(), var_before = var.clone();
  batch_norm(x, {}, {}, mean, var, false);
  CHECK(same_bits(mean, mean_before));
  CHECK(same_bits(var, var_before));
  CHECK(mean.version() == 0);

  const Tensor leaf = x.clone().set_requires_grad(true);
  const Tensor y = batch_norm(leaf, {}, {}, mean, var, false);
  batch_norm(x, {}, {}, mean, var, true);  // changes the statistics that y's backward needs
  CHECK_THROWS_WITH_AS(y.backward(x), doctest::Contains("changed in place"), Error);
}

TEST_CASE("large logits lose nothing") {
  const Tensor x = Tensor::from<float>({10000, 9999, 9998}, {1, 3}).set_requires_grad(true);
  const Tensor loss = cross_entropy(x, Tensor::from<int64_t>({1}, {1}));
  CHECK(loss.item() == doctest::Approx(1 + std::log(1 + std::exp(-1.0) + std::exp(-2.0))).epsilon(1e-6));
  loss.backward();
  const auto g = x.grad().to_vector<double>();
  CHECK(g[0] + g[1] + g[2] == doctest::Approx(0).epsilon(1e-6));
}

TEST_CASE("errors of pooling, losses and normalisation say what and where") {
  const Tensor x = normal({2, 4, 4, 6}, 1), logits = normal({3, 5}, 2);
  CHECK_THROWS_WITH_AS(max_pool2d(logits, {2}), "max_pool2d: x: expected [N, H, W, C], got [3, 5]", ShapeError);
  CHECK_THROWS_WITH_AS(max_pool2d(x, {5}), doctest::Contains("at least 5 x 5"), ShapeError);
  CHECK_THROWS_WITH_AS(avg_pool2d(x, {3, 1, 2}), "avg_pool2d: padding: expected 0 to kernel / 2 = 1, got 2", ShapeError);
  CHECK_THROWS_WITH_AS(max_pool2d(x, {0}), doctest::Contains("kernel > 0"), ShapeError);
  for (int64_t bad : {int64_t{5}, int64_t{-1}})
    CHECK_THROWS_WITH_AS(cross_entropy(logits, Tensor::from<int64_t>({0, bad, 2}, {3})),
                         fmt::format("cross_entropy: labels: row 1: expected 0 to 4, got {}", bad).c_str(), ShapeError);
  CHECK_THROWS_WITH_AS(cross_entropy(logits, Tensor::zeros({2}, DType::i64)), "cross_entropy: labels: expected [3], got [2]",
                       ShapeError);
  CHECK_THROWS_AS(cross_entropy(logits, Tensor::zeros({3})), DtypeError);
  CHECK_THROWS_AS(cross_entropy(logits, Tensor::zeros({3}, DType::i64), 1.5), ConfigError);
  CHECK_THROWS_WITH_AS(mse(logits, normal({5, 3}, 1)), doctest::Contains("expected [3, 5]"), ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm(x, normal({4}, 1), {}, {}, {}, true), "batch_norm: weight: expected [6], got [4]", ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm(x.rows(0, 1).view({16, 6}).rows(0, 1), {}, {}, {}, {}, true),
                       doctest::Contains("more than one value per channel"), ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, {}, {}, false), doctest::Contains("got none"), ShapeError);
  CHECK_THROWS_WITH_AS(batch_norm(x, {}, {}, {}, {}, true, {}, logits), "batch_norm: residual: expected [2, 4, 4, 6], got [3, 5]",
                       ShapeError);
  CHECK_THROWS_AS(batch_norm(x, {}, {}, {}, {}, true, {}, Tensor::zeros({2, 4, 4, 6}, DType::f64, kRef)), DtypeError);
  CHECK_THROWS_WITH_AS(group_norm(x, {}, {}, 4), "group_norm: groups: expected a divisor of 6 channels, got 4", ShapeError);
  CHECK_THROWS_AS(lrn(x, 0), ShapeError);
  CHECK_THROWS_AS(lrn(x, 5, 1e-4, 0.75, 0), ConfigError);
}
