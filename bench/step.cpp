#include "bench/step.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "bench/device.h"
#include "bench/statistics.h"
#include "kernels/common/philox.h"
#include "kernels/runtime/cuda/graph.h"
#include "nn/chain.h"
#include "nn/init.h"
#include "nn/models/models.h"
#include "nn/optim/masters.h"
#include "nn/optim/optimizer.h"
#include "nn/table.h"
#include "tensor/autograd.h"
#include "tensor/device.h"
#include "tensor/ops/loss.h"

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
  Tensor x = vocabulary ? Tensor::empty({w.batch, s[0]}, DType::i64) : Tensor::empty({w.batch, s[0], s[1], s[2]});
  for (int64_t i = 0; i < x.numel(); ++i)
    if (vocabulary) x.data<int64_t>()[i] = int64_t(random.uniform(uint64_t(i)) * double(vocabulary));
    else x.data<float>()[i] = float(random.normal(uint64_t(i)));
  return x;
}

std::unique_ptr<nn::Optimizer> make_optimizer(const nn::Module& network, bool tokens, const nn::NamedTensors& masters) {
  const nn::ParamGroup group{network.named_parameters()};
  if (tokens) return std::make_unique<nn::AdamW>(std::vector{group}, nn::AdamWOptions{}, masters);
  return std::make_unique<nn::Sgd>(std::vector{group}, nn::SgdOptions{.momentum = 0.9, .weight_decay = 5e-4}, masters);
}

// One network, its optimizer and a batch that stays in memory.
class Training {
 public:
  Training(const StepOptions& o, const Workload& w) : o_(o), tokens_(nn::takes_tokens(o.model)), network_(nn::make_model(w.spec)) {
    nn::initialize(*network_, tokens_ ? nn::Init::gaussian_2014 : nn::Init::he_normal, 1);
    parameters_ = nn::parameter_count(*network_);
    network_->to(DType::f32, o.device);
    x_ = random_batch(w);
    classes_ = w.spec.classes;
    rows_ = network_->output_shape(x_.shape()).numel() / classes_;  // one label an image or a token
    if (o.dtype == DType::bf16) {
      masters_ = std::make_unique<nn::Masters>(*network_);
      if (!tokens_) x_ = x_.to(DType::bf16);
    }
    x_ = x_.to(o.device);
    labels_ = Tensor::empty({rows_}, DType::i64);
    for (int64_t i = 0; i < rows_; ++i) labels_.data<int64_t>()[i] = i % classes_;
    labels_ = labels_.to(o.device);
    optimizer_ = make_optimizer(*network_, tokens_, masters_ ? masters_->parameters() : nn::NamedTensors{});
  }

  double step() {  // waits for its loss
    optimizer_->prepare(tokens_ ? 1e-4 : 0.001);
    if (o_.graph && warm_ && !graph_) {
      optimizer_->zero_grad();
      graph_ = std::make_unique<cuda::CudaGraph>(o_.device.index);
      graph_->capture(current_context(), [&] { launch(); });
    }
    if (graph_) graph_->replay(current_context());
    else launch();
    warm_ = true;
    return loss_.item();
  }
  void forward() {
    NoGrad guard;
    network_->forward(x_).device_raw();
    if (!o_.device.on_host()) loss_.item();  // waits
  }
  const nn::Chain& network() const { return *network_; }
  int64_t parameters() const { return parameters_; }

 private:
  void launch() {
    network_->set_random(1, number_++);
    optimizer_->zero_grad();
    const Tensor loss = network_->loss(x_, labels_);
    loss.backward();
    optimizer_->step_prepared();
    loss_ = loss.detach();
  }

  const StepOptions& o_;
  bool tokens_, warm_ = false;
  int64_t rows_ = 0, classes_ = 0, parameters_ = 0;
  uint64_t number_ = 0;
  std::unique_ptr<nn::Chain> network_;
  std::unique_ptr<nn::Masters> masters_;
  Tensor x_, labels_, loss_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  std::unique_ptr<cuda::CudaGraph> graph_;
};

double peak(const StepOptions& o) {
  if (o.device.on_host()) return fma_peak(o.threads);
  const Roofline r = make_device(o.device.backend, o.threads)->roofline();
  return o.dtype == DType::bf16 ? r.tensor_gflops : r.gflops;
}

}  // namespace

StepResult time_step(const StepOptions& o) {
  check<ConfigError>(!o.graph || o.device.backend == Backend::cuda, "bench: --graph: on cuda only, got {}", name(o.device));
  Context context(o.threads);
  ContextScope scope(context);
  const Workload w = workload(o);
  Training training(o, w);
  StepResult r{.model = o.model,
               .target = target(o.device),
               .device = name(o.device),
               .dtype = std::string(name(o.dtype)),
               .unit = nn::takes_tokens(o.model) ? "tokens" : "images",
               .input = {w.spec.input.begin(), w.spec.input.end()},
               .batch = w.batch,
               .classes = w.spec.classes,
               .vocabulary = nn::vocabulary(w.spec),
               .parameters = training.parameters(),
               .threads = o.threads,
               .repeats = o.repeats};
  r.first_loss = training.step();
  for (int i = 0; i < std::min(5, o.repeats); ++i) training.step();
  std::vector<double> forward, whole;
  for (int i = 0; i < o.repeats; ++i) {
    whole.push_back(milliseconds([&] { r.last_loss = training.step(); }));
    forward.push_back(milliseconds([&] { training.forward(); }));
  }
  r.forward_ms = median(forward), r.step_ms = median(whole), r.p10_ms = quantile(whole, 0.1), r.p90_ms = quantile(whole, 0.9);
  r.per_second = double(w.batch * (r.unit == "tokens" ? w.spec.input[0] : 1)) / r.step_ms * 1e3;
  double macs = 0;
  const auto layers = nn::layer_rows(training.network(), w.spec.input);
  for (size_t i = 0; i < layers.size(); ++i) macs += double(layers[i].multiply_adds) * (i == 0 ? 2 : 3);
  r.gflop = 2e-9 * macs * double(w.batch);
  r.gflops = r.gflop / r.step_ms * 1e3;
  r.peak_gflops = peak(o);
  return r;
}

}  // namespace graft::bench
