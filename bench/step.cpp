#include "bench/step.h"

#include <chrono>
#include <vector>

#include "bench/roofline.h"
#include "bench/statistics.h"
#include "kernels/common/philox.h"
#include "kernels/runtime/cpu/target.h"
#include "nn/init.h"
#include "nn/models/models.h"
#include "nn/optim/optimizer.h"
#include "nn/table.h"
#include "tensor/autograd.h"
#include "tensor/ops/loss.h"

namespace graft::bench {
namespace {

template <class F>
double milliseconds(F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

StepResult time_step(const std::string& model, int64_t batch, int threads, int repeats) {
  Context context(threads);
  ContextScope scope(context);
  const Shape input{32, 32, 3};
  const auto network = nn::make_model({model, input, 5});
  nn::initialize(*network, nn::Init::he_normal, 1);
  const Tensor x = Tensor::empty({batch, 32, 32, 3}), labels = Tensor::empty({batch}, DType::i64);
  const Philox random{stream_key(1, "bench"), 0};
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = float(random.normal(uint64_t(i)));
  for (int64_t i = 0; i < batch; ++i) labels.data<int64_t>()[i] = i % 5;
  nn::ParamGroup group;
  group.params = network->named_parameters();
  nn::Sgd sgd({group}, {.momentum = 0.9, .weight_decay = 5e-4});

  StepResult r{.model = model, .target = std::string(cpu::target()), .batch = batch, .threads = threads, .repeats = repeats};
  uint64_t number = 0;
  const auto step = [&] {
    network->set_random(1, number++);
    sgd.zero_grad();
    const Tensor loss = cross_entropy(network->forward(x), labels);
    loss.backward();
    sgd.step(0.001);
    return loss.item();
  };
  r.first_loss = step();
  for (int i = 0; i < 5; ++i) step();
  std::vector<double> forward, whole;
  for (int i = 0; i < repeats; ++i) {
    whole.push_back(milliseconds([&] { r.last_loss = step(); }));
    forward.push_back(milliseconds([&] {
      NoGrad guard;
      network->forward(x);
    }));
  }
  r.forward_ms = median(forward), r.step_ms = median(whole), r.p10_ms = quantile(whole, 0.1), r.p90_ms = quantile(whole, 0.9);
  r.images_per_second = double(batch) / r.step_ms * 1e3;
  double macs = 0;
  const auto rows = nn::layer_rows(*network, input);
  for (size_t i = 0; i < rows.size(); ++i) macs += double(rows[i].multiply_adds) * (i == 0 ? 2 : 3);
  r.gflop = 2e-9 * macs * double(batch);
  r.gflops = r.gflop / r.step_ms * 1e3;
  r.peak_gflops = fma_peak(threads);
  return r;
}

}  // namespace graft::bench
