// The study CNN trains for ten steps on `emu` as on `cpu`: every CUDA kernel of a training step, forward, backward and
// optimizer, in one run.
#include <doctest/doctest.h>

#include "kernels/common/registry.h"
#include "nn/optim/optimizer.h"
#include "tensor/ops/loss.h"
#include "tests/harness/skip.h"
#include "tests/nn/nn_test.h"

using namespace graft;

namespace {

constexpr int64_t kBatch = 2, kSteps = 10;
constexpr int64_t kSide = 12;  // 12, 6, 3, 1 pixels: the last pooling leaves a row and a column over, as it does with 28

std::vector<double> train(Device device, bool adamw) {
  const nn::ModelSpec spec{"study_cnn", {kSide, kSide, 1}, 5};
  const auto net = nn::make_initialized(spec, 3);
  net->to(DType::f32, device);
  net->train(true);
  const std::vector<nn::ParamGroup> groups{{net->named_parameters()}};
  std::unique_ptr<nn::Optimizer> optimizer;
  if (adamw) optimizer = std::make_unique<nn::AdamW>(groups);
  else optimizer = std::make_unique<nn::Sgd>(groups, nn::SgdOptions{.momentum = 0.9, .weight_decay = 5e-4});
  std::vector<double> losses;
  for (int64_t step = 0; step < kSteps; ++step) {
    const Tensor x = nn::random_images(kBatch, spec.input, uint64_t(step)).to(device);
    const Tensor labels = Tensor::from<int64_t>({step % 5, (step + 2) % 5}, {kBatch}).to(device);
    optimizer->zero_grad();
    const Tensor loss = cross_entropy(net->forward(x), labels);
    loss.backward();
    optimizer->step(adamw ? 1e-4 : 1e-3);
    losses.push_back(loss.item());
  }
  return losses;
}

// Each step adds the rounding of one more update; the longest sum behind it has one term for every pixel of conv1 (its
// weight gradient), and a sum of n terms is as exact as eps (16 + 8 sqrt(n)) (tests/harness/compare.h).
void same_losses(bool adamw) {
  if (!has_kernel(Op::conv2d, Pass::forward, Backend::emu, DType::f32)) return harness::not_run("this build has no emu kernels");
  const double once = 0x1p-23 * (16 + 8 * std::sqrt(double(kBatch * kSide * kSide)));
  const std::vector<double> cpu = train({Backend::cpu}, adamw), emu = train({Backend::emu}, adamw);
  for (size_t step = 0; step < cpu.size(); ++step) {
    INFO("step ", step, ": cpu ", cpu[step], ", emu ", emu[step]);
    CHECK(std::abs(emu[step] - cpu[step]) <= double(step + 1) * once * std::max(1.0, cpu[step]));
  }
  CHECK(emu.front() != emu.back());
}

}  // namespace

TEST_CASE("study_cnn trains for ten SGD steps on emu as on cpu") { same_losses(false); }
TEST_CASE("study_cnn trains for ten AdamW steps on emu as on cpu") { same_losses(true); }
