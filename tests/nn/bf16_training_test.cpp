// Training in bf16 on `emu` beside training in f32: activations and weights rounded to 8 bits, masters of the weights, norms and
// the loss in f32. The losses have to stay within what rounding explains, and a planted mistake has to leave that band.
//
// The band. A rounding to bf16 is off by at most u = 2^-8 of the value, of either sign, u / sqrt(3) in the root mean square. K
// roundings between the input and the logits move these by u sqrt(K / 3) of their size S, and the loss of a row by up to sqrt(2)
// times that (the gradient of a cross-entropy by its logits has at most that length). Gradients carry twice as many roundings, so
// that what training has won so far is off by u sqrt(2 K / 3) of itself. Both times 3 for a tail of a normal distribution:
//   |loss - f32| <= 3 u sqrt(K / 3) (sqrt(2) max(S, 1) + sqrt(2) (f32 at the first step - f32 now))
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/common/registry.h"
#include "nn/init.h"
#include "nn/layers/norm.h"
#include "nn/optim/masters.h"
#include "nn/optim/optimizer.h"
#include "tensor/ops/activation.h"
#include "tensor/ops/axpby.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/cast.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/matmul.h"
#include "tensor/ops/norm.h"
#include "tensor/ops/reduce.h"
#include "tensor/ops/softmax.h"
#include "tensor/ops/view.h"
#include "tests/harness/skip.h"
#include "tests/nn/nn_test.h"

using namespace graft;

namespace {

constexpr int64_t kSteps = 10, kBatch = 2, kTime = 4, kWidth = 16, kHeads = 2, kClasses = 4;
constexpr double kRate = 4e-4;
constexpr int kRoundings = 20;  // of activations and weights from the input to the logits

// A transformer of one block over x[B, T, D]: pre-norm attention and MLP, the mean over time, a classifier.
class Block : public nn::Module {
 public:
  Block() {
    for (auto [name, weight, rows, columns] : {std::tuple{"qkv", &qkv_, kWidth, 3 * kWidth},
                                               {"out", &out_, kWidth, kWidth},
                                               {"up", &up_, kWidth, 4 * kWidth},
                                               {"down", &down_, 4 * kWidth, kWidth},
                                               {"head", &head_, kWidth, kClasses}}) {
      *weight = Tensor::empty({rows, columns});
      nn::fill_normal(*weight, 1 / std::sqrt(double(rows)), Philox{stream_key(3, name), 0});
      add_parameter(name, *weight);
    }
    for (int i = 0; i < 2; ++i) add_child(fmt::format("norm{}", i), *norms_.emplace_back(std::make_unique<nn::LayerNorm>(kWidth)));
  }
  Tensor forward(const Tensor& x) override {
    const int64_t rows = kBatch * kTime, heads = kBatch * kHeads, size = kWidth / kHeads;
    const auto by_head = [&](const Tensor& all, int which) {  // [B T, 3 D] -> [B H, T, D / H]
      const Tensor one = reshape(slice(all, 1, which * kWidth, (which + 1) * kWidth), {kBatch, kTime, kHeads, size});
      return reshape(permute(one, std::vector{0, 2, 1, 3}), {heads, kTime, size});
    };
    Tensor h = reshape(x, {rows, kWidth});
    const Tensor all = matmul(norms_[0]->forward(h), qkv_);
    const Tensor q = by_head(all, 0), k = by_head(all, 1), v = by_head(all, 2);
    const Tensor seen = matmul(softmax(scale(matmul(q, k, false, true), 1 / std::sqrt(double(size)))), v);
    h = add(h,
            matmul(reshape(permute(reshape(seen, {kBatch, kHeads, kTime, size}), std::vector{0, 2, 1, 3}), {rows, kWidth}), out_));
    h = add(h, matmul(activation(matmul(norms_[1]->forward(h), up_), Activation::gelu), down_));
    return matmul(mean(reshape(h, {kBatch, kTime, kWidth}), {1}), head_);
  }

 private:
  Tensor qkv_, out_, up_, down_, head_;
  std::vector<std::unique_ptr<nn::LayerNorm>> norms_;
};

// What is wrong with the training: nothing; what the optimizer did to the masters is lost; the weights are kept in bf16 alone, so
// that a step of less than half a unit in the last place is lost.
enum class Bug { none, masters_lost, no_masters };

struct Losses {
  std::vector<double> loss;
  double logits = 0;  // rms at the first step
};

Losses train(nn::Module& net, DType dtype, const Tensor& images, Bug bug = Bug::none) {
  const Device device{Backend::emu};
  net.to(DType::f32, device);
  net.train(true);
  std::unique_ptr<nn::Masters> masters;
  if (dtype == DType::bf16) masters = std::make_unique<nn::Masters>(net);
  const nn::NamedTensors before = masters ? nn::copy_of(masters->parameters()) : nn::NamedTensors{};
  nn::AdamW optimizer({{trainable_parameters(net)}}, {.weight_decay = 0}, masters ? masters->parameters() : nn::NamedTensors{});
  const Tensor x = images.to(dtype).to(device), labels = Tensor::from<int64_t>({1, 3}, {kBatch}).to(device);
  Losses result;
  for (int64_t step = 0; step < kSteps; ++step) {
    optimizer.zero_grad();
    const Tensor logits = net.forward(x), loss = cross_entropy(logits, labels);
    if (step == 0) {
      for (double v : logits.to_vector<double>()) result.logits += v * v / double(logits.numel());
      result.logits = std::sqrt(result.logits);
    }
    result.loss.push_back(loss.item());
    CHECK(loss.dtype() == DType::f32);
    loss.backward();
    optimizer.step(kRate);
    if (bug == Bug::masters_lost) {
      for (size_t i = 0; i < before.size(); ++i) masters->parameters()[i].second.copy_from(before[i].second);
      masters->round();
    }
    if (bug == Bug::no_masters) {
      const nn::NamedTensors rounded = net.named_parameters();
      for (size_t i = 0; i < rounded.size(); ++i) masters->parameters()[i].second.copy_from(rounded[i].second);
    }
  }
  return result;
}

// The first step that leaves the band; -1 for none.
int leaves_band(const Losses& f32, const Losses& bf16, int roundings) {
  for (size_t step = 0; step < f32.loss.size(); ++step) {
    const double won = std::abs(f32.loss[0] - f32.loss[step]);
    const double band = 3 * 0x1p-8 * std::sqrt(roundings / 3.0) * std::sqrt(2.0) * (std::max(f32.logits, 1.0) + won);
    INFO("step ", step, ": f32 ", f32.loss[step], ", bf16 ", bf16.loss[step], ", band ", band);
    if (!(std::abs(f32.loss[step] - bf16.loss[step]) <= band)) return int(step);
  }
  return -1;
}

bool runs(Op op) { return has_kernel(op, passes(op)[0], Backend::emu, DType::bf16); }

}  // namespace

TEST_CASE("a transformer block trains in bf16 as in f32, and a planted mistake shows") {
  if (!runs(Op::matmul)) return harness::not_run("this build has no emu kernels for bf16");
  Tensor x = Tensor::empty({kBatch, kTime, kWidth});
  nn::fill_normal(x, 1, Philox{11, 0});
  const auto losses = [&](DType dtype, Bug bug = Bug::none) {
    Block net;
    return train(net, dtype, x, bug);
  };
  const Losses f32 = losses(DType::f32);
  CHECK(leaves_band(f32, losses(DType::bf16), kRoundings) == -1);
  CHECK(leaves_band(f32, losses(DType::bf16, Bug::masters_lost), kRoundings) > 0);
  CHECK(leaves_band(f32, losses(DType::bf16, Bug::no_masters), kRoundings) > 0);
}
