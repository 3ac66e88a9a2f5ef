// The study CNN and a transformer train for ten steps on `emu` as on `cpu`: every CUDA kernel of a training step, forward,
// backward and optimizer, in one run.
#include <doctest/doctest.h>

#include "kernels/common/registry.h"
#include "nn/optim/optimizer.h"
#include "tensor/ops/loss.h"
#include "tests/harness/simulated_gpu.h"
#include "tests/harness/skip.h"
#include "tests/nn/nn_test.h"

using namespace graft;

namespace {

constexpr int64_t kBatch = 2, kSteps = 10;

struct Task {
  std::function<std::unique_ptr<nn::Chain>()> make;
  std::function<Tensor(int64_t step)> input;
  int64_t classes;
  double longest_sum;
  Tensor lengths = {};
};

std::vector<double> train(const Task& task, Device device, bool adamw) {
  const auto net = task.make();
  nn::initialize(*net, nn::Init::he_normal, 3);
  net->to(DType::f32, device);
  if (task.lengths) net->set_lengths(task.lengths.to(device));
  const std::vector<nn::ParamGroup> groups{{net->named_parameters()}};
  std::unique_ptr<nn::Optimizer> optimizer;
  if (adamw) optimizer = std::make_unique<nn::AdamW>(groups);
  else optimizer = std::make_unique<nn::Sgd>(groups, nn::SgdOptions{.momentum = 0.9, .weight_decay = 5e-4});
  std::vector<double> losses;
  for (int64_t step = 0; step < kSteps; ++step) {
    optimizer->zero_grad();
    const Tensor x = task.input(step).to(device);
    const int64_t rows = net->output_shape(x.shape()).numel() / task.classes;
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < rows; ++i) labels.push_back((step + 2 * i) % task.classes);
    const Tensor loss = net->loss(x, Tensor::from(std::span<const int64_t>(labels), {rows}).to(device));
    loss.backward();
    optimizer->step(adamw ? 1e-4 : 1e-3);
    losses.push_back(loss.item());
  }
  return losses;
}

// Each step adds the rounding of one more update; a sum of n terms is as exact as eps (16 + 8 sqrt(n)) (tests/harness/compare.h).
void same_losses(const Task& task, bool adamw) {
  if (!has_kernel(Op::conv2d, Pass::forward, Backend::emu, DType::f32)) return harness::not_run("this build has no emu kernels");
  const double once = 0x1p-23 * (16 + 8 * std::sqrt(task.longest_sum));
  const std::vector<double> cpu = train(task, {Backend::cpu}, adamw), emu = train(task, {Backend::emu}, adamw);
  double worst = 0;
  for (size_t step = 0; step < cpu.size(); ++step) {
    INFO("step ", step, ": cpu ", cpu[step], ", emu ", emu[step]);
    CHECK(std::abs(emu[step] - cpu[step]) <= double(step + 1) * once * std::max(1.0, cpu[step]));
    worst = std::max(worst, std::abs(emu[step] - cpu[step]));
  }
  CHECK(emu.front() != emu.back());
  MESSAGE("losses from ", cpu.front(), " to ", cpu.back(), " differ by ", worst, " at most");
}

Task study_cnn() {
  constexpr int64_t kSide = 12;  // 12, 6, 3, 1 pixels: the last pooling leaves a row and a column over, as it does with 28
  const nn::ModelSpec spec{"study_cnn", {kSide, kSide, 1}, 5};
  return {[=] { return nn::make_model(spec); }, [=](int64_t step) { return nn::random_inputs(kBatch, spec, uint64_t(step)); }, 5,
          kBatch * kSide * kSide};  // one term for every pixel of conv1 in its weight gradient
}

constexpr int64_t kTokens = 9, kVocabulary = 23, kDim = 32;
constexpr nn::TransformerSize kSize{.layers = 2, .heads = 2, .dim = kDim, .vocabulary = kVocabulary, .context = 12};

Tensor ids(int64_t step) { return nn::random_inputs(kBatch, {"decoder", {kTokens}, kVocabulary}, uint64_t(step)); }

Task decoder() {  // the longest sum runs over the perceptron
  return {[] { return nn::gpt2(kSize); }, ids, kVocabulary, 4 * kDim};
}
Task encoder() {
  return {[] { return nn::bert(kSize, 3); }, ids, 3, 4 * kDim, Tensor::from<int64_t>({kTokens, 4}, {kBatch})};
}

}  // namespace

TEST_CASE("study_cnn trains for ten SGD steps on emu as on cpu") { same_losses(study_cnn(), false); }
TEST_CASE("study_cnn trains for ten AdamW steps on emu as on cpu") { same_losses(study_cnn(), true); }
TEST_CASE("a 2-layer decoder trains for ten AdamW steps on emu as on cpu") { same_losses(decoder(), true); }
TEST_CASE("a padded 2-layer encoder trains for ten SGD steps on emu as on cpu") { same_losses(encoder(), false); }

// Kernels and bits are those of emu; that every tensor went there and back by a copy is what is tested.
TEST_CASE("the training tasks run on a simulated GPU with the bits of emu") {
  if (!harness::SimulatedGpu::possible()) return harness::not_run("this build has real kernels for cuda, or none for emu");
  for (const Task& task : {study_cnn(), decoder(), encoder()}) {
    const std::vector<double> emu = train(task, {Backend::emu}, true);
    const harness::SimulatedGpu simulated;
    CHECK(train(task, {Backend::cuda}, true) == emu);
  }
}
