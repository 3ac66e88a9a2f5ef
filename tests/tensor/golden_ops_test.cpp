// Every op against PyTorch in float64, fracdiff against scipy (tests/golden/make_*.py): `ref` in double, `cpu` in float on the same
// inputs.
#include <doctest/doctest.h>

#include <map>

#include "io/weights/weights.h"
#include "tensor/ops/activation.h"
#include "tensor/ops/attention.h"
#include "tensor/ops/conv2d.h"
#include "tensor/ops/fracdiff.h"
#include "tensor/ops/linear.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/norm.h"
#include "tensor/ops/optim.h"
#include "tensor/ops/pool2d.h"
#include "tensor/ops/softmax.h"
#include "tests/harness/compare.h"

using namespace graft;
using namespace graft::harness;

namespace {

struct Run {  // one case on one backend
  std::string name;
  Backend backend;
  std::vector<double> params;
  std::map<std::string, Tensor> leaves;

  bool exact() const { return backend == Backend::ref; }
  int64_t integer(size_t i) const { return int64_t(params.at(i)); }
  Tensor input(const std::string& what, bool optional = false);
};

const std::map<std::string, Tensor>& golden() {
  static const auto all = [] {
    std::map<std::string, Tensor> tensors;
    for (const char* file : {"ops", "attention", "fracdiff"})
      for (auto& [name, t] : io::load_weights(fmt::format("{}/tests/golden/{}.safetensors", GRAFT_SOURCE_DIR, file)))
        tensors[name] = t;
    return tensors;
  }();
  return all;
}

Tensor find(const std::string& name) {
  const auto found = golden().find(name);
  return found == golden().end() ? Tensor() : found->second;
}

Tensor on(const Tensor& t, Backend backend) {
  const Tensor converted = t.dtype() == DType::i64 ? t : t.to(backend == Backend::ref ? DType::f64 : DType::f32);
  return converted.clone().to(Device{backend});
}

Tensor Run::input(const std::string& what, bool optional) {
  const Tensor t = find(name + "/" + what);
  REQUIRE_MESSAGE((t || optional), name, "/", what, " is not in the golden file");
  if (!t) return {};
  return leaves[what] = on(t, backend).set_requires_grad(bool(find(name + "/d" + what)));
}

// Of all comparisons of an op: the largest error in units of the expected values' size. Reported, not judged.
std::map<std::string, std::array<double, 2>> largest;

void expect(const Run& run, const std::string& what, const Tensor& actual) {
  INFO(run.name, " ", name(run.backend), " ", what);
  const Tensor expected = find(run.name + "/" + what);
  REQUIRE(expected);
  REQUIRE(actual);
  CHECK(actual.shape() == expected.shape());
  const auto a = actual.to_vector<double>(), e = expected.to_vector<double>();
  // No sum in these cases has more than 512 terms.
  const Tolerance t = rounding(run.exact() ? 0x1p-52 : 0x1p-23, 512, e);
  const Comparison result = compare<double>(a, e, t);
  CHECK_MESSAGE(result.ok, result.report);
  double& worst = largest[run.name.substr(0, run.name.find('/'))][run.exact() ? 0 : 1];
  for (size_t i = 0; i < std::min(a.size(), e.size()); ++i)
    if (std::isfinite(e[i]) && std::max(std::abs(e[i]), t.scale) > 0)
      worst = std::max(worst, std::abs(a[i] - e[i]) / std::max(std::abs(e[i]), t.scale));
}

// f(run) for every case of `op` on both backends.
template <class F>
void for_cases(const std::string& op, F f) {
  int count = 0;
  for (; find(fmt::format("{}/{}/params", op, count)); ++count)
    for (Backend backend : {Backend::ref, Backend::cpu}) {
      const std::string name = fmt::format("{}/{}", op, count);
      Run run{name, backend, find(name + "/params").to_vector<double>(), {}};
      f(run);
    }
  CHECK_MESSAGE(count > 0, op, " has no golden cases");
  MESSAGE(fmt::format("{}: {} cases, largest error {:.1e} on ref in double, {:.1e} on cpu in float", op, count, largest[op][0],
                      largest[op][1]));
}

// Forward and all gradients of y = f(run).
template <class F>
void check_op(const std::string& op, F f) {
  for_cases(op, [&](Run& run) {
    const Tensor y = f(run);
    expect(run, "y", y);
    y.backward(on(find(run.name + "/dy"), run.backend));
    for (const auto& [what, leaf] : run.leaves)
      if (leaf.requires_grad()) expect(run, "d" + what, leaf.grad());
  });
}

Pool2dOptions pool_options(const Run& r) { return {r.integer(0), r.integer(1), r.integer(2), r.integer(3) != 0}; }

}  // namespace

TEST_CASE("golden conv2d and linear") {
  check_op("conv2d", [](Run& r) {
    return conv2d(r.input("x"), r.input("weight"), r.input("bias", true), {r.integer(0), r.integer(1), r.integer(2), r.integer(3)});
  });
  check_op("linear", [](Run& r) { return linear(r.input("x"), r.input("weight"), r.input("bias", true)); });
}

TEST_CASE("golden pooling") {
  check_op("max_pool2d", [](Run& r) { return max_pool2d(r.input("x"), pool_options(r)); });
  check_op("avg_pool2d", [](Run& r) { return avg_pool2d(r.input("x"), pool_options(r)); });
  check_op("global_avg_pool2d", [](Run& r) { return global_avg_pool2d(r.input("x")); });
}

TEST_CASE("golden normalisation") {
  check_op("batch_norm", [](Run& r) {
    const Tensor mean = r.input("running_mean"), var = r.input("running_var");
    const Tensor y = batch_norm(r.input("x"), r.input("weight"), r.input("bias"), mean, var, true, {r.params[0], r.params[1]});
    expect(r, "new_running_mean", mean);
    expect(r, "new_running_var", var);
    return y;
  });
  check_op("batch_norm_frozen", [](Run& r) {
    return batch_norm(r.input("x"), r.input("weight"), r.input("bias"), r.input("running_mean"), r.input("running_var"), false,
                      {r.params[0], r.params[1]});
  });
  check_op("group_norm",
           [](Run& r) { return group_norm(r.input("x"), r.input("weight"), r.input("bias"), r.integer(0), r.params[1]); });
  check_op("instance_norm", [](Run& r) { return instance_norm(r.input("x"), r.input("weight"), r.input("bias"), r.params[0]); });
  check_op("layer_norm", [](Run& r) { return layer_norm(r.input("x"), r.input("weight"), r.input("bias"), r.params[0]); });
  check_op("lrn", [](Run& r) { return lrn(r.input("x"), r.integer(0), r.params[1], r.params[2], r.params[3]); });
}

TEST_CASE("golden losses, softmax and activations") {
  check_op("cross_entropy", [](Run& r) { return cross_entropy(r.input("x"), r.input("labels"), r.params[0]); });
  check_op("mse", [](Run& r) { return mse(r.input("x"), r.input("target")); });
  check_op("softmax", [](Run& r) { return softmax(r.input("x")); });
  check_op("log_softmax", [](Run& r) { return log_softmax(r.input("x")); });
  for (auto [name, kind] : {std::pair{"relu", Activation::relu},
                            {"relu6", Activation::relu6},
                            {"gelu", Activation::gelu},
                            {"silu", Activation::silu},
                            {"tanh", Activation::tanh},
                            {"sigmoid", Activation::sigmoid}})
    check_op(name, [&, kind = kind](Run& r) { return activation(r.input("x"), kind); });
}

TEST_CASE("golden attention") {
  check_op("attention", [](Run& r) {
    return attention(r.input("q"), r.input("k"), r.input("v"), {r.integer(0) != 0, r.integer(1), r.params[2]},
                     r.input("lengths", true));
  });
}

TEST_CASE("golden fractional differencing") {
  check_op("fracdiff", [](Run& r) { return fracdiff(r.input("x"), r.params[0], {.floor = r.params[1], .window = r.integer(2)}); });
}

TEST_CASE("golden optimizers") {
  const auto run_steps = [](Run& r, auto step) {
    const Tensor weight = r.input("weight"), grads = r.input("grads"), weights = Tensor::empty_like(grads);
    for (int64_t i = 0; i < grads.size(0); ++i) {
      step(weight, grads.rows(i, i + 1).view(weight.shape()), i + 1);
      weights.rows(i, i + 1).copy_from(weight.view({1, weight.numel()}));
    }
    expect(r, "weights", weights);
  };
  for_cases("sgd", [&](Run& r) {
    const double lr = r.params[0], momentum = r.params[1], decay = r.params[2];
    const Tensor velocity = momentum ? Tensor::zeros_like(r.input("weight")) : Tensor();
    run_steps(r, [&](const Tensor& weight, const Tensor& grad, int64_t) {
      const SgdUpdate update{weight, grad, velocity, lr, decay};
      sgd_step({&update, 1}, {momentum, r.params[3] != 0});
    });
  });
  for_cases("adamw", [&](Run& r) {
    const Tensor mean = Tensor::zeros_like(r.input("weight")), square = Tensor::zeros_like(mean);
    run_steps(r, [&](const Tensor& weight, const Tensor& grad, int64_t step) {
      const AdamwUpdate update{weight, grad, mean, square, r.params[0], r.params[4]};
      adamw_step({&update, 1}, {r.params[1], r.params[2], r.params[3], step});
    });
  });
}
