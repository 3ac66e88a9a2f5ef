// The verbs about one network: train, eval, predict.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/output.h"
#include "apps/verbs.h"
#include "io/atomic_file.h"
#include "io/datasets/dataset.h"
#include "io/weights/weights.h"
#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"
#include "nn/init.h"
#include "nn/models/models.h"
#include "nn/table.h"
#include "transfer/evaluate.h"
#include "transfer/freeze.h"
#include "transfer/load.h"
#include "transfer/network_file.h"
#include "transfer/train.h"

namespace graft::apps {
namespace {

using nlohmann::ordered_json;

Shape image_shape(const io::Dataset& d) { return {d.images.size(1), d.images.size(2), d.images.size(3)}; }

io::Normalization normalization(const DataArguments& a) {
  check<ConfigError>(a.mean.size() == a.stddev.size(), "--mean, --std: {} and {} values", a.mean.size(), a.stddev.size());
  return {a.mean, a.stddev};
}

void check_model(const std::string& name) {
  const auto names = nn::model_names();
  check<ConfigError>(std::ranges::count(names, name), "model: none is named '{}': {}", name, did_you_mean(name, names));
}

struct Loaded {
  io::Dataset data;
  std::unique_ptr<nn::Chain> network;
  transfer::NetworkInfo info;
  transfer::EvaluateOptions options;
};

// The outputs of the network must be the classes of the data, by name where both have names; --classes says otherwise.
void check_classes(const io::Dataset& data, const transfer::NetworkInfo& network, const std::string& weights) {
  const auto& names = network.classes;
  check<ConfigError>(int64_t(data.classes.size()) == network.spec.classes,
                     "{}: the network has {} outputs, but {} has {} classes (--classes {} takes its first ones for them)", weights,
                     network.spec.classes, data.name, data.classes.size(), network.spec.classes);
  for (size_t c = 0; c < names.size() && c < data.classes.size(); ++c)
    check<ConfigError>(names[c] == data.classes[c],
                       "{}: output {} of the network is '{}', but class {} of {} is '{}' (--classes {} "
                       "goes by the number)",
                       weights, c, names[c], c, data.name, data.classes[c], network.spec.classes);
}

// What the arguments leave open comes from the weight file or the model's publication.
Loaded load(const std::string& model, const std::string& weights, const DataArguments& data, int64_t classes,
            const std::vector<std::string>& skip, const std::string& device) {
  transfer::NetworkInfo wanted;
  wanted.spec.name = model;
  wanted.spec.classes = classes;
  wanted.normalization = normalization(data);
  check_model(model);
  Loaded l{io::load_test_data(data.data), nullptr, {}, {}};
  wanted.spec.input = image_shape(l.data);
  transfer::LoadOptions options;
  options.skip = skip;
  auto loaded = transfer::load_network(weights, wanted, options);
  l.network = std::move(loaded.network);
  l.network->to(DType::f32, device_of(device));
  l.info = loaded.info;
  l.options.preprocessing.normalization = loaded.info.normalization;
  return l;
}

}  // namespace

int eval(const EvalArguments& a) {
  Loaded l = load(a.model, a.weights, a.data, a.classes, a.skip, a.device);
  if (!a.classes) check_classes(l.data, l.info, a.weights);
  l.options.batch = a.batch;
  const auto e = transfer::evaluate(*l.network, l.data, l.options);
  if (a.json)
    print_result("{}\n", ordered_json{{"model", a.model},
                                      {"data", a.data.data},
                                      {"items", e.items},
                                      {"correct", e.correct},
                                      {"accuracy", e.accuracy},
                                      {"loss", e.loss}}
                             .dump());
  else
    print_result("{} on {}: items {}, correct {}, accuracy {:.4f}, loss {:.4f}\n", a.model, a.data.data, e.items, e.correct,
                 e.accuracy, e.loss);
  return kDone;
}

int predict(const PredictArguments& a) {
  Loaded l = load(a.model, a.weights, a.data, a.classes, {}, a.device);
  const Tensor logits = transfer::predict(*l.network, l.data, l.options);
  const int64_t classes = logits.size(1), top = std::min(a.top, classes);
  // The network's own class names; failing that the data's, if they can be the same; failing that, numbers.
  auto names = l.info.classes;
  if (names.empty() && int64_t(l.data.classes.size()) == classes) names = l.data.classes;
  const auto label = [&](int64_t c) { return c < int64_t(names.size()) ? names[size_t(c)] : fmt::format("{}", c); };
  ordered_json list = ordered_json::array();
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const float* row = logits.data<float>() + i * classes;
    std::vector<int64_t> order(static_cast<size_t>(classes));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) { return row[x] > row[y]; });
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += std::exp(double(row[c]) - double(row[order[0]]));
    ordered_json item{{"item", i}, {"top", ordered_json::array()}};
    std::string line = fmt::format("{}", i);
    if (!l.data.files.empty()) {
      item["file"] = l.data.files[size_t(i)];
      line = l.data.files[size_t(i)];
    }
    for (int64_t k = 0; k < top; ++k) {
      const double p = std::exp(double(row[order[size_t(k)]]) - double(row[order[0]])) / sum;
      item["top"].push_back({{"class", label(order[size_t(k)])}, {"probability", p}});
      line += fmt::format("  {} {:.3f}", label(order[size_t(k)]), p);
    }
    if (a.json) list.push_back(std::move(item));
    else print_result("{}\n", line);
  }
  if (a.json) print_result("{}\n", ordered_json{{"predictions", list}}.dump());
  return kDone;
}

namespace {

bool is_device(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored);
}

// A folder that cannot be made or written shows now, not after hours.
void prepare_output(const std::filesystem::path& out) {
  std::error_code error;
  if (out.has_parent_path()) std::filesystem::create_directories(out.parent_path(), error);
  check<ConfigError>(!error, "{}: the folder cannot be made: {}", out.parent_path().string(), error.message());
  const io::AtomicFile probe(out);
}

}  // namespace

int train(const TrainArguments& a) {
  // What is wrong with the arguments shows before anything is read or trained.
  check_model(a.model);
  const nn::Init init = nn::init_from_name(a.init);
  if (!a.device.empty()) device_of(a.device);
  transfer::TrainConfig config;
  config.epochs = a.epochs, config.batch = a.batch, config.lr = a.lr, config.momentum = a.momentum;
  config.weight_decay = a.weight_decay, config.schedule = a.schedule, config.label_smoothing = a.label_smoothing;
  config.precision = a.precision;
  config.preprocessing.normalization = normalization(a.data);
  config.preprocessing.augment.pad_crop = a.pad_crop;
  config.preprocessing.augment.flip = a.flip;
  transfer::total_steps(config, 1);
  if (!a.out.empty()) prepare_output(a.out);

  io::Splits splits = io::load_splits(a.data.data);
  check<ConfigError>(splits.train.size() > 0, "--data: {} has no training images", a.data.data);
  if (a.images_per_class)
    splits.train = io::sample_per_class(splits.train, a.images_per_class, stream_key(uint64_t(a.seed), "train/images"));
  const Shape input = image_shape(splits.train);
  const auto network = nn::make_model({a.model, input, int64_t(splits.train.classes.size())});
  nn::initialize(*network, init, stream_key(uint64_t(a.seed), "train/init"));
  std::string beginning;  // printed when training has begun: an error before is the only line
  if (!a.weights.empty()) {
    transfer::LoadOptions options;
    options.fresh = a.fresh;
    beginning += transfer::load(*network, io::load_weights(a.weights), options).str();
  }
  if (!a.freeze.empty()) transfer::freeze(*network, a.freeze);
  network->to(DType::f32, device_of(a.device));

  if (a.data.mean.empty()) {
    const auto statistics = io::channel_statistics(splits.train);
    config.preprocessing.normalization = {statistics.mean, statistics.stddev};
  }
  beginning += nn::layer_table(*network, input);

  transfer::TrainHooks hooks;
  hooks.cancel = &interrupted;
  if (!a.out.empty() && !is_device(a.out)) hooks.checkpoint = a.out + ".checkpoint";
  const bool terminal = isatty(STDERR_FILENO);
  int64_t printed = 0;
  hooks.progress = [&](const transfer::TrainProgress& p) {
    write_progress(std::exchange(beginning, {}));
    if (!terminal && p.epoch == printed && p.step != p.steps) return;
    printed = p.epoch;
    print_progress("{}epoch {}/{}, step {}/{}, loss {:.4f}, training accuracy {:.4f}, {:.0f} images/s, {:.0f} s left{}",
                   terminal ? "\r" : "", p.epoch, p.epochs, p.step, p.steps, p.loss, p.accuracy, p.images_per_second,
                   p.seconds_left, terminal && p.step != p.steps ? "  " : "\n");
  };
  const auto result =
      transfer::train(*network, splits.train,
                      {stream_key(uint64_t(a.seed), "train/order"), stream_key(uint64_t(a.seed), "train/dropout")}, config, hooks);
  const bool done = result.status == transfer::TrainStatus::done;
  if (!a.out.empty() && done)
    transfer::save_network(
        a.out, *network,
        {{a.model, input, int64_t(splits.train.classes.size())}, config.preprocessing.normalization, splits.train.classes});
  ordered_json j{{"model", a.model},
                 {"data", a.data.data},
                 {"status", name(result.status)},
                 {"steps", result.steps},
                 {"loss", result.losses.empty() ? NAN : result.losses.back()},
                 {"images_per_second", result.images_per_second},
                 {"seconds", result.seconds},
                 {"proof", result.proof.str()}};
  if (splits.test.size() > 0 && done) {
    const auto e = transfer::evaluate(*network, splits.test, {.preprocessing = config.preprocessing});
    j["items"] = e.items, j["correct"] = e.correct, j["accuracy"] = e.accuracy;
  }
  if (!a.out.empty() && done) j["weights"] = a.out;
  if (a.json) print_result("{}\n", j.dump());
  else
    for (const auto& [key, value] : j.items())
      print_result("{}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  check<ConfigError>(done, "train: diverged in step {}: the loss or a weight is not finite{}", result.steps,
                     a.out.empty() ? "" : fmt::format("; {} is not written", a.out));
  return kDone;
}

}  // namespace graft::apps
