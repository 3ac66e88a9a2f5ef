// Training on a GPU: as on cpu within rounding, and as one recorded graph with the bits of separate launches. In builds with CUDA
// kernels only; *not run* without a device.
#include <doctest/doctest.h>

#include "kernels/runtime/cuda/graph.h"
#include "kernels/runtime/cuda/memory.h"
#include "nn/optim/optimizer.h"
#include "tensor/ops/loss.h"
#include "tests/harness/skip.h"
#include "tests/nn/nn_test.h"

using namespace graft;

namespace {

constexpr int64_t kBatch = 8, kSteps = 10, kClasses = 5;
constexpr double kRate = 1e-3;

struct Training {
  explicit Training(Device device) : device_(device) {
    net->to(DType::f32, device);
    net->train(true);
    optimizer = std::make_unique<nn::Sgd>(std::vector<nn::ParamGroup>{{net->named_parameters()}},
                                          nn::SgdOptions{.momentum = 0.9, .weight_decay = 5e-4});
    x = Tensor::empty({kBatch, 28, 28, 1}, DType::f32, device);
    labels = Tensor::empty({kBatch}, DType::i64, device);
    loss = Tensor::empty({1}, DType::f32, device);
  }
  void take(int64_t step) {
    x.copy_from(nn::random_images(kBatch, {28, 28, 1}, uint64_t(step)));
    std::vector<int64_t> l;
    for (int64_t i = 0; i < kBatch; ++i) l.push_back((step + i) % kClasses);
    labels.copy_from(Tensor::from(std::span<const int64_t>(l), {kBatch}));
  }
  void gradients() {
    optimizer->zero_grad();
    const Tensor l = cross_entropy(net->forward(x), labels);
    l.backward();
    loss.copy_from(l.detach());
  }
  void step() {
    gradients();
    optimizer->step_prepared();
  }
  std::vector<double> run() {
    std::vector<double> losses;
    for (int64_t s = 0; s < kSteps; ++s) take(s), optimizer->prepare(kRate), step(), losses.push_back(loss.item());
    return losses;
  }

  Device device_;
  std::unique_ptr<nn::Chain> net = nn::make_initialized({"study_cnn", {28, 28, 1}, kClasses}, 3);
  std::unique_ptr<nn::Optimizer> optimizer;
  Tensor x, labels, loss;
};

}  // namespace

// One step from each of ten states of a training: free-running losses drift apart by more than rounding, since ReLU and pooling
// choose (docs/results, and PyTorch's float beside its double).
TEST_CASE("cuda training: losses and gradients of ten single steps as on cpu") {
  if (cuda::device_count() == 0) return harness::not_run("no device: " + cuda::why_no_device());
  const double once = 0x1p-23 * (16 + 8 * std::sqrt(double(kBatch * 28 * 28)));  // as in emulated_training_test.cpp
  Training cpu({}), gpu({Backend::cuda});
  const auto mine = cpu.net->named_parameters(), theirs = gpu.net->named_parameters();
  int64_t close = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    double worst = 0;
    for (size_t i = 0; i < mine.size(); ++i) theirs[i].second.copy_from(mine[i].second);
    cpu.take(step), cpu.gradients(), gpu.take(step), gpu.gradients();
    INFO("step ", step);
    CHECK(std::abs(gpu.loss.item() - cpu.loss.item()) <= once * std::max(1.0, cpu.loss.item()));
    for (size_t i = 0; i < mine.size(); ++i) {
      const auto a = mine[i].second.grad().to_vector<double>(), b = theirs[i].second.grad().to_vector<double>();
      double square = 0, difference = 0;
      for (size_t k = 0; k < a.size(); ++k) square += a[k] * a[k], difference += (a[k] - b[k]) * (a[k] - b[k]);
      worst = std::max(worst, std::sqrt(difference / square));
    }
    CHECK(worst <= 5e-2);
    close += worst <= 1e-4;
    cpu.optimizer->prepare(kRate), cpu.optimizer->step_prepared();
  }
  CHECK(close >= kSteps - 1);  // as pytorch_training_test.cpp judges float: where a choice flips, a gradient jumps
}

TEST_CASE("cuda training: a recorded step has the bits of separate launches, and asks the driver for no memory") {
  if (cuda::device_count() == 0) return harness::not_run("no device: " + cuda::why_no_device());
  const std::vector<double> expected = Training({Backend::cuda}).run();
  CHECK(Training({Backend::cuda}).run() == expected);
  Training t({Backend::cuda});
  std::vector<double> losses;
  t.take(0), t.optimizer->prepare(kRate), t.step(), losses.push_back(t.loss.item());
  t.optimizer->zero_grad();
  cuda::CudaGraph graph;
  graph.capture(current_context(), [&] { t.step(); });
  const int64_t calls = cuda::memory(0).allocator.stats().driver_calls;
  for (int64_t s = 1; s < kSteps; ++s)
    t.take(s), t.optimizer->prepare(kRate), graph.replay(current_context()), losses.push_back(t.loss.item());
  CHECK(losses == expected);
  CHECK(cuda::memory(0).allocator.stats().driver_calls == calls);
}
