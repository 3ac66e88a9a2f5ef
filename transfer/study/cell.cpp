#include "transfer/study/cell.h"

#include <chrono>

#include "kernels/common/philox.h"
#include "nn/models/models.h"
#include "nn/table.h"
#include "transfer/evaluate.h"
#include "transfer/graft.h"

namespace graft::study {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

uint64_t stream(const CellLabel& l, std::string_view what, std::string_view layer = {}) {
  return stream_key(uint64_t(l.seed),
                    layer.empty() ? fmt::format("{}/{}", what, l.half) : fmt::format("{}/{}/{}", what, l.half, layer));
}

}  // namespace

std::string CellLabel::str() const {
  std::string s(name(condition));
  if (has_cut(condition)) s += fmt::format(" cut {}", cut);
  if (keep) s += fmt::format(" keep {}", keep);
  s += half == "S" ? fmt::format(" on {}", target) : fmt::format(" half {}", half);
  return s + fmt::format(" seed {} ({}{})", seed, partition, images_per_class ? fmt::format(", {} a class", images_per_class) : "");
}

transfer::TrainConfig train_config(const StudyConfig& config, Condition condition, const transfer::Preprocessing& preprocessing) {
  transfer::TrainConfig c = config.train;
  c.stretch = condition == Condition::base2x ? 2 : 1;
  c.preprocessing = preprocessing;
  return c;
}

std::unique_ptr<nn::Chain> make_network(const StudyConfig& config, const CellLabel& label, const Shape& input, int64_t classes,
                                        const nn::Chain* source) {
  auto network = nn::make_model({config.model, input, classes});
  for (int i = 0; i < network->size(); ++i) {
    const char* what = !has_cut(label.condition) ? "base" : label.condition == Condition::RnB && i < label.cut ? "random" : "fresh";
    nn::initialize(network->block(i), config.init, stream(label, what, network->name(i)));
  }
  if (source) transfer::graft(*source, *network, {label.cut, is_frozen(label.condition), label.keep});
  else
    for (int i = 0; i < label.cut; ++i) network->block(i).set_frozen(true);
  return network;
}

CellResult run_cell(const StudyConfig& config, const Cell& cell, const CellData& data, nn::Chain& network,
                    transfer::PrefixCache* cache, const CellHooks& hooks) {
  const auto start = std::chrono::steady_clock::now();
  const CellLabel& label = cell.label;
  const transfer::TrainConfig train = train_config(config, label.condition, data.preprocessing);

  network.to(DType::f32, config.device);
  CellResult r;
  std::shared_ptr<const transfer::Activations> prefix;
  if (cache && is_frozen(label.condition) && !data.preprocessing.augment.random()) {
    prefix = cache->get(network, label.cut, data.train, data.preprocessing);
    r.prefix_seconds = seconds_since(start);
    r.prefix_blocks = prefix ? prefix->blocks() : 0;
  }

  const transfer::TrainKeys keys{stream(label, "order"), stream(label, "dropout")};
  transfer::TrainHooks train_hooks;
  train_hooks.progress = hooks.progress;
  train_hooks.cancel = hooks.cancel;
  const transfer::TrainResult t = transfer::train(network, data.train, keys, train, train_hooks, prefix.get());
  r.epochs = int64_t(t.epochs.size());
  r.steps = t.steps;
  r.train_seconds = t.seconds;
  r.curve = t.epochs;
  r.proof = t.proof.str();
  r.weights_hash = fmt::format("{:016x}", transfer::hash_weights(network));
  r.layer_table = nn::layer_table(network, Shape{data.train.images.size(1), data.train.images.size(2), data.train.images.size(3)});
  r.status = transfer::name(t.status);
  if (t.status == transfer::TrainStatus::done) {
    transfer::EvaluateOptions options;
    options.preprocessing = data.preprocessing.for_evaluation();
    const transfer::Evaluation e = transfer::evaluate(network, data.test, options);
    r.items = e.items;
    r.correct = e.correct;
    r.accuracy = e.accuracy;
    r.loss = e.loss;
  }
  r.seconds = seconds_since(start);
  return r;
}

}  // namespace graft::study
