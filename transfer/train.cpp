#include "transfer/train.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "io/checkpoint.h"
#include "io/datasets/loader.h"
#include "kernels/common/nearest_name.h"
#include "nn/chain.h"
#include "nn/optim/masters.h"
#include "nn/optim/optimizer.h"
#include "nn/optim/schedule.h"
#include "tensor/device.h"
#include "tensor/ops/loss.h"
#include "transfer/cache.h"

namespace graft::transfer {
namespace {

const std::vector<std::string> kSchedules = {"constant", "step", "cosine", "one_cycle", "slanted_triangular"};

const std::vector<std::string> kPrecisions = {"f32", "bf16"};

void validate(const TrainConfig& c) {
  check<ConfigError>(c.epochs >= 1, "train: epochs: expected at least 1, got {}", c.epochs);
  check<ConfigError>(c.stretch > 0 && std::isfinite(c.stretch), "train: stretch: expected a positive number, got {}", c.stretch);
  check<ConfigError>(c.batch >= 1, "train: batch: expected at least 1, got {}", c.batch);
  check<ConfigError>(c.lr >= 0 && std::isfinite(c.lr), "train: lr: expected 0 or more, got {}", c.lr);
  check<ConfigError>(0 <= c.warmup && c.warmup < 1, "train: warmup: expected a fraction in [0, 1), got {}", c.warmup);
  check<ConfigError>(std::ranges::count(kSchedules, c.schedule), "train: schedule: none is named '{}': {}", c.schedule,
                     did_you_mean(c.schedule, kSchedules));
  check<ConfigError>(0 <= c.momentum && c.momentum < 1, "train: momentum: expected [0, 1), got {}", c.momentum);
  check<ConfigError>(c.weight_decay >= 0 && std::isfinite(c.weight_decay), "train: weight_decay: expected 0 or more, got {}",
                     c.weight_decay);
  check<ConfigError>(c.clip_norm >= 0, "train: clip_norm: expected 0 or more, got {}", c.clip_norm);
  check<ConfigError>(c.bias_lr_multiplier > 0, "train: bias_lr_multiplier: expected more than 0, got {}", c.bias_lr_multiplier);
  check<ConfigError>(0 <= c.label_smoothing && c.label_smoothing < 1, "train: label_smoothing: expected [0, 1), got {}",
                     c.label_smoothing);
  check<ConfigError>(std::ranges::count(kPrecisions, c.precision), "train: precision: none is named '{}': {}", c.precision,
                     did_you_mean(c.precision, kPrecisions));
}

nn::Schedule make_schedule(const TrainConfig& c, int64_t steps) {
  nn::Schedule s;
  if (c.lr == 0 || c.schedule == "constant") s = nn::constant(c.lr);
  else if (c.schedule == "step") s = nn::step_decay(c.lr, steps, {0.6, 0.85});
  else if (c.schedule == "cosine") s = nn::cosine(c.lr, steps);
  else if (c.schedule == "one_cycle") s = nn::one_cycle(c.lr, steps);
  else s = nn::slanted_triangular(c.lr, steps);
  const int64_t warm = std::llround(c.warmup * double(steps));
  return warm > 0 ? nn::warm_up(s, warm) : s;
}

// Weights and biases apart: they may have their own multipliers. Only what is trained.
std::vector<nn::ParamGroup> parameter_groups(const nn::NamedTensors& trainable, const TrainConfig& c) {
  nn::ParamGroup weights, biases{{}, c.bias_lr_multiplier, c.bias_decay_multiplier};
  for (auto& p : trainable) (p.first == "bias" || p.first.ends_with(".bias") ? biases : weights).params.push_back(p);
  std::vector<nn::ParamGroup> groups;
  if (!weights.params.empty()) groups.push_back(std::move(weights));
  if (!biases.params.empty()) groups.push_back(std::move(biases));
  return groups;
}

int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  const std::vector<float> v = logits.to_vector<float>();
  const int64_t classes = logits.size(1);
  int64_t correct = 0;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const float* row = v.data() + i * classes;
    correct += std::max_element(row, row + classes) - row == labels.data<int64_t>()[i];
  }
  return correct;
}

bool all_finite(const nn::NamedTensors& tensors) {
  for (auto& [name, t] : tensors)
    for (double v : t.to_vector<double>())
      if (!std::isfinite(v)) return false;
  return true;
}

class Trainer {
 public:
  Trainer(nn::Chain& chain, const io::Dataset& data, const TrainKeys& keys, const TrainConfig& config, const TrainHooks& hooks,
          const Activations* prefix)
      : chain_(chain),
        data_(data),
        keys_(keys),
        config_(config),
        hooks_(hooks),
        prefix_(prefix),
        steps_(total_steps(config, data.size())),
        loader_(data, loader_options()),
        rate_(make_schedule(config, steps_)),
        proof_(chain) {
    for (const TensorState& s : tensor_states(chain)) tensors_.emplace_back(s.name, s.tensor);
    if (!hooks.checkpoint.empty()) identity_ = identity();
    if (prefix) prefix->check_fits(chain, data, config.preprocessing);
    if (config.precision == "bf16") masters_ = std::make_unique<nn::Masters>(chain);
    for (auto& p : chain.named_parameters())
      if (p.second.requires_grad()) trainable_.push_back(p);
    check<ConfigError>(!trainable_.empty(), "train: nothing to train: every parameter is frozen");
    optimizer_ = std::make_unique<nn::Sgd>(
        parameter_groups(trainable_, config),
        nn::SgdOptions{.momentum = config.momentum, .weight_decay = config.weight_decay, .nesterov = config.nesterov},
        masters_ ? masters_->parameters() : nn::NamedTensors{});
    if (!hooks.checkpoint.empty() && std::filesystem::exists(hooks.checkpoint)) resume();
  }

  TrainResult run() {
    started_ = std::chrono::steady_clock::now();
    first_step_ = step_;
    chain_.train(true);
    TrainResult result;
    double lr = 0;
    if (!prefix_ && step_ < steps_) loader_.seek(step_);
    while (step_ < steps_) {
      if (hooks_.cancel && hooks_.cancel->load()) {
        if (!hooks_.checkpoint.empty()) save();
        throw Interrupted(fmt::format("train: stopped after step {} of {}{}", step_, steps_,
                                      hooks_.checkpoint.empty() ? ""
                                                                : fmt::format("; {} holds it: the same command goes on from there",
                                                                              hooks_.checkpoint.string())));
      }
      lr = rate_(step_);
      if (!train_step(lr)) {
        result.status = TrainStatus::diverged;
        break;
      }
      if (hooks_.progress && (step_ % std::max<int64_t>(hooks_.every, 1) == 0 || step_ == steps_)) hooks_.progress(progress());
      if (!hooks_.checkpoint.empty() && hooks_.checkpoint_every > 0 && step_ % hooks_.checkpoint_every == 0 && step_ < steps_)
        save();
    }
    if (result.status == TrainStatus::done && !all_finite(tensors_)) result.status = TrainStatus::diverged;
    // Resumed behind the last step, or diverged: there is no gradient to judge by.
    const bool judged = result.status == TrainStatus::done && step_ > first_step_;
    if (masters_) masters_->restore();
    result.proof = proof_.verify(chain_, judged ? lr : 0);
    result.steps = step_;
    result.losses = losses_;
    for (int64_t e = 0; e * loader_.batches_per_epoch() < int64_t(losses_.size()); ++e) result.epochs.push_back(epoch_record(e));
    result.seconds = seconds();
    result.images_per_second = speed();
    for (auto& [name, p] : chain_.named_parameters()) p.zero_grad();
    if (!hooks_.checkpoint.empty()) std::filesystem::remove(hooks_.checkpoint);
    return result;
  }

 private:
  io::LoaderOptions loader_options() const {
    const io::Augment& augment = config_.preprocessing.augment;
    const bool costly = augment.random() || augment.resize_height > 0;
    return {.batch_size = config_.batch,
            .shuffle = true,
            .last_batch = io::LastBatch::keep,
            .key = keys_.batch_order,
            .normalization = config_.preprocessing.normalization,
            .augment = augment,
            .workers = costly && !prefix_ ? 1 : 0};
  }

  Device device() const { return tensors_[0].second.device(); }

  // Images where the network is, labels on the host.
  std::pair<Tensor, Tensor> next_batch() {
    const DType dtype = masters_ ? DType::bf16 : trainable_[0].second.dtype();
    if (!prefix_) {
      const io::Batch b = loader_.next();
      return {b.x.to(dtype).to(device()), b.labels};
    }
    const int64_t epoch = step_ / loader_.batches_per_epoch(), begin = step_ % loader_.batches_per_epoch() * config_.batch;
    if (epoch != epoch_) order_ = loader_.order(epoch_ = epoch);
    const int64_t n = std::min(config_.batch, data_.size() - begin);
    const std::span items(order_.data() + begin, size_t(n));
    Tensor labels = Tensor::empty({n}, DType::i64);
    for (int64_t i = 0; i < n; ++i) labels.data<int64_t>()[i] = data_.labels.data<int64_t>()[items[size_t(i)]];
    const Tensor x = prefix_->gather(items);
    return {(masters_ ? x.to(dtype) : x).to(device()), labels};
  }

  // False when the loss is not finite; nothing is changed then.
  bool train_step(double lr) {
    const auto [x, labels] = next_batch();
    chain_.set_random(keys_.dropout, uint64_t(step_));
    const Tensor logits = chain_.forward(x, prefix_ ? int(prefix_->blocks()) : 0, chain_.size());
    const Tensor loss = cross_entropy(logits, labels.to(device()), config_.label_smoothing);
    losses_.push_back(loss.item());
    correct_.push_back(count_correct(logits, labels));
    ++step_;
    if (!std::isfinite(losses_.back())) return false;
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step(lr, config_.clip_norm);
    return true;
  }

  int64_t batch_size(int64_t step) const {
    const int64_t begin = step % loader_.batches_per_epoch() * config_.batch;
    return std::min(config_.batch, data_.size() - begin);
  }

  EpochRecord epoch_record(int64_t epoch) const {
    const int64_t per = loader_.batches_per_epoch(), end = std::min(epoch * per + per, int64_t(losses_.size()));
    EpochRecord r;
    int64_t n = 0, correct = 0;
    for (int64_t s = epoch * per; s < end; ++s) {
      r.loss += losses_[size_t(s)] * double(batch_size(s));
      correct += correct_[size_t(s)];
      n += batch_size(s);
    }
    r.loss /= double(n);
    r.accuracy = double(correct) / double(n);
    return r;
  }

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count(); }
  double speed() const {
    int64_t images = 0;
    for (int64_t s = first_step_; s < step_; ++s) images += batch_size(s);
    return double(images) / std::max(seconds(), 1e-9);
  }

  TrainProgress progress() const {
    const int64_t per = loader_.batches_per_epoch(), epoch = (step_ - 1) / per;
    const EpochRecord r = epoch_record(epoch);
    return {.epoch = epoch + 1,
            .epochs = (steps_ + per - 1) / per,
            .step = step_,
            .steps = steps_,
            .loss = r.loss,
            .accuracy = r.accuracy,
            .images_per_second = speed(),
            .seconds_left = seconds() / double(step_ - first_step_) * double(steps_ - step_)};
  }

  // Everything that decides the result: a checkpoint of anything else is refused.
  std::string identity() const {
    std::string frozen;
    for (const TensorState& s : tensor_states(chain_)) frozen += s.frozen ? '1' : '0';
    return fmt::format("target={} weights={:016x} frozen={} data={:016x} order={:016x} dropout={:016x} {}", target(device()),
                       hash_weights(chain_), frozen, data_.hash, keys_.batch_order, keys_.dropout, config_.str());
  }

  void save() const {
    io::Checkpoint c;
    c.step = uint64_t(step_);
    c.weights = tensors_;
    c.optimizer = optimizer_->state();
    c.optimizer.emplace_back("history.loss", Tensor::from(std::span<const double>(losses_), {step_}));
    c.optimizer.emplace_back("history.correct", Tensor::from(std::span<const int64_t>(correct_), {step_}));
    c.meta["identity"] = identity_;
    io::save_checkpoint(hooks_.checkpoint, c);
  }

  void resume() {
    io::Checkpoint c = io::load_checkpoint(hooks_.checkpoint);
    const std::string where = hooks_.checkpoint.string();
    check<ConfigError>(c.meta["identity"] == identity_,
                       "{}: this checkpoint is of another training (other data, weights or "
                       "configuration); remove it to start again",
                       where);
    const auto take = [&](const char* name) {
      const auto e = std::find_if(c.optimizer.begin(), c.optimizer.end(), [&](auto& t) { return t.first == name; });
      check<LoadError>(e != c.optimizer.end() && e->second.numel() == int64_t(c.step), "{}: {} is missing or damaged", where, name);
      const Tensor t = e->second;
      c.optimizer.erase(e);
      return t;
    };
    losses_ = take("history.loss").to_vector<double>();
    correct_ = take("history.correct").to_vector<int64_t>();
    check<LoadError>(c.weights.size() == tensors_.size(), "{}: expected {} tensors, got {}", where, tensors_.size(),
                     c.weights.size());
    for (size_t i = 0; i < tensors_.size(); ++i)
      check<LoadError>(c.weights[i].first == tensors_[i].first && c.weights[i].second.shape() == tensors_[i].second.shape(),
                       "{}: expected {}, got {}", where, tensors_[i].first, c.weights[i].first);
    optimizer_->load_state(c.optimizer);
    for (size_t i = 0; i < tensors_.size(); ++i) tensors_[i].second.copy_from(c.weights[i].second);
    if (masters_) masters_->round();
    step_ = int64_t(c.step);
  }

  nn::Chain& chain_;
  const io::Dataset& data_;
  const TrainKeys keys_;
  const TrainConfig& config_;
  const TrainHooks& hooks_;
  const Activations* prefix_;
  const int64_t steps_;
  io::Loader loader_;
  const nn::Schedule rate_;
  const FreezeProof proof_;
  nn::NamedTensors trainable_, tensors_;
  std::unique_ptr<nn::Masters> masters_;  // with precision bf16
  std::unique_ptr<nn::Optimizer> optimizer_;
  std::string identity_;

  int64_t step_ = 0, first_step_ = 0;
  std::vector<double> losses_;  // per step
  std::vector<int64_t> correct_;
  int64_t epoch_ = -1;  // whose order_ it is (with a prefix)
  std::vector<int64_t> order_;
  std::chrono::steady_clock::time_point started_;
};

}  // namespace

std::string_view name(TrainStatus s) { return s == TrainStatus::done ? "done" : "diverged"; }

std::string TrainConfig::str() const {
  return fmt::format(
      "epochs={} stretch={} batch={} lr={} momentum={} nesterov={} weight_decay={} bias_lr={} bias_decay={} schedule={} warmup={} "
      "clip_norm={} label_smoothing={}{} {}",
      epochs, stretch, batch, lr, momentum, nesterov, weight_decay, bias_lr_multiplier, bias_decay_multiplier, schedule, warmup,
      clip_norm, label_smoothing, precision == "f32" ? "" : " precision=" + precision, preprocessing.str());
}

int64_t total_steps(const TrainConfig& c, int64_t images) {
  validate(c);
  const int64_t per_epoch = (images + c.batch - 1) / c.batch;
  return std::max<int64_t>(std::llround(double(c.epochs * per_epoch) * c.stretch), 1);
}

TrainResult train(nn::Chain& chain, const io::Dataset& data, const TrainKeys& keys, const TrainConfig& config,
                  const TrainHooks& hooks, const Activations* prefix) {
  check<ConfigError>(data.size() > 0, "train: {}: there are no images", data.name);
  return Trainer(chain, data, keys, config, hooks, prefix).run();
}

}  // namespace graft::transfer
