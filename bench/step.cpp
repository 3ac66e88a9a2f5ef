#include "bench/step.h"

#include <algorithm>
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
#include "tensor/ops/view.h"

namespace graft::bench {
namespace {

template <class F>
double milliseconds(F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

struct Workload {
  nn::ModelSpec spec;
  int64_t batch;
};

Workload workload(const StepOptions& o) {
  const auto images = [&](int64_t side, int64_t classes, int64_t batch) {
    return Workload{{o.model, {side, side, 3}, classes}, batch};
  };
  const auto tokens = [&](int64_t sequence, int64_t classes, int64_t batch) {
    return Workload{{o.model, {o.sequence ? o.sequence : sequence}, classes}, batch};
  };
  Workload w = o.model == "resnet18" || o.model == "resnet50" ? images(224, 1000, 8)
               : o.model == "alexnet"                         ? images(227, 1000, 16)
               : o.model == "gpt2_124m"                       ? tokens(64, 50257, 4)
               : o.model == "decoder"                         ? tokens(256, 65, 8)
               : o.model == "encoder"                         ? tokens(64, 2, 32)
                                                              : images(32, 5, 50);
  check<ConfigError>(!o.sequence || w.spec.input.rank() == 1, "bench: --sequence: {} takes images", o.model);
  if (o.batch) w.batch = o.batch;
  return w;
}

Tensor random_batch(const Workload& w) {
  const Philox random{stream_key(1, "bench"), 0};
  const Shape& s = w.spec.input;
  const int64_t vocabulary = nn::vocabulary(w.spec);
  const Tensor x = vocabulary ? Tensor::empty({w.batch, s[0]}, DType::i64) : Tensor::empty({w.batch, s[0], s[1], s[2]});
  for (int64_t i = 0; i < x.numel(); ++i)
    if (vocabulary) x.data<int64_t>()[i] = int64_t(random.uniform(uint64_t(i)) * double(vocabulary));
    else x.data<float>()[i] = float(random.normal(uint64_t(i)));
  return x;
}

std::unique_ptr<nn::Optimizer> make_optimizer(const nn::Module& network, bool tokens) {
  const nn::ParamGroup group{network.named_parameters()};
  if (tokens) return std::make_unique<nn::AdamW>(std::vector{group});
  return std::make_unique<nn::Sgd>(std::vector{group}, nn::SgdOptions{.momentum = 0.9, .weight_decay = 5e-4});
}

}  // namespace

StepResult time_step(const StepOptions& o) {
  Context context(o.threads);
  ContextScope scope(context);
  const Workload w = workload(o);
  const bool tokens = nn::takes_tokens(o.model);
  const auto network = nn::make_model(w.spec);
  nn::initialize(*network, tokens ? nn::Init::gaussian_2014 : nn::Init::he_normal, 1);
  const Tensor x = random_batch(w);
  const int64_t rows = network->output_shape(x.shape()).numel() / w.spec.classes;  // one label an image or a token
  const Tensor labels = Tensor::empty({rows}, DType::i64);
  for (int64_t i = 0; i < rows; ++i) labels.data<int64_t>()[i] = i % w.spec.classes;
  const auto optimizer = make_optimizer(*network, tokens);

  StepResult r{.model = o.model,
               .target = std::string(cpu::target()),
               .unit = tokens ? "tokens" : "images",
               .input = {w.spec.input.begin(), w.spec.input.end()},
               .batch = w.batch,
               .classes = w.spec.classes,
               .vocabulary = nn::vocabulary(w.spec),
               .parameters = nn::parameter_count(*network),
               .threads = o.threads,
               .repeats = o.repeats};
  uint64_t number = 0;
  const auto step = [&] {
    network->set_random(1, number++);
    optimizer->zero_grad();
    const Tensor loss = cross_entropy(reshape(network->forward(x), {rows, w.spec.classes}), labels);
    loss.backward();
    optimizer->step(tokens ? 1e-4 : 0.001);
    return loss.item();
  };
  r.first_loss = step();
  for (int i = 0; i < std::min(5, o.repeats); ++i) step();
  std::vector<double> forward, whole;
  for (int i = 0; i < o.repeats; ++i) {
    whole.push_back(milliseconds([&] { r.last_loss = step(); }));
    forward.push_back(milliseconds([&] {
      NoGrad guard;
      network->forward(x);
    }));
  }
  r.forward_ms = median(forward), r.step_ms = median(whole), r.p10_ms = quantile(whole, 0.1), r.p90_ms = quantile(whole, 0.9);
  r.per_second = double(w.batch * (tokens ? w.spec.input[0] : 1)) / r.step_ms * 1e3;
  double macs = 0;
  const auto layers = nn::layer_rows(*network, w.spec.input);
  for (size_t i = 0; i < layers.size(); ++i) macs += double(layers[i].multiply_adds) * (i == 0 ? 2 : 3);
  r.gflop = 2e-9 * macs * double(w.batch);
  r.gflops = r.gflop / r.step_ms * 1e3;
  r.peak_gflops = fma_peak(o.threads);
  return r;
}

}  // namespace graft::bench
