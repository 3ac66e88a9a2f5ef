#include "transfer/network_file.h"

#include <fmt/format.h>

#include <charconv>

#include "io/weights/weights.h"

namespace graft::transfer {
namespace {

constexpr const char *kModel = "graft.model", *kInput = "graft.input", *kClasses = "graft.classes", *kMean = "graft.mean",
                     *kStd = "graft.std", *kNames = "graft.class_names";

std::vector<std::string> split(const std::string& s, char separator) {
  std::vector<std::string> parts;
  if (s.empty()) return parts;
  for (size_t begin = 0; begin <= s.size();) {
    const size_t end = std::min(s.find(separator, begin), s.size());
    parts.push_back(s.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

template <class T>
std::vector<T> numbers(const io::Metadata& meta, const char* key, const std::string& where) {
  std::vector<T> values;
  const auto entry = meta.find(key);
  if (entry == meta.end()) return values;
  for (const std::string& text : split(entry->second, ',')) {
    T v{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
    check<LoadError>(error == std::errc() && end == text.data() + text.size(), "{}: metadata {}: '{}' is not a number", where, key,
                     text);
    values.push_back(v);
  }
  return values;
}

NetworkInfo info_of(const io::WeightFile& file, const std::string& where) {
  NetworkInfo info;
  const io::Metadata& meta = file.metadata;
  if (const auto m = meta.find(kModel); m != meta.end()) info.spec.name = m->second;
  if (const auto n = meta.find(kNames); n != meta.end()) info.classes = split(n->second, '\n');
  const auto input = numbers<int64_t>(meta, kInput, where), classes = numbers<int64_t>(meta, kClasses, where);
  check<LoadError>(input.empty() || input.size() == 3, "{}: metadata {}: expected H,W,C", where, kInput);
  if (!input.empty()) info.spec.input = Shape(input);
  if (!classes.empty()) info.spec.classes = classes[0];
  info.normalization = {numbers<double>(meta, kMean, where), numbers<double>(meta, kStd, where)};
  return info;
}

}  // namespace

io::Normalization published_normalization(const std::string& model) {
  if (model.starts_with("resnet")) return {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};  // akamaster/pytorch_resnet_cifar10
  return {};
}

void save_network(const std::filesystem::path& path, const nn::Module& network, const NetworkInfo& info) {
  const Shape& input = info.spec.input;
  io::save_safetensors(path, to_file_layout(network),
                       {{kModel, info.spec.name},
                        {kInput, fmt::format("{}", fmt::join(input.begin(), input.end(), ","))},
                        {kClasses, fmt::format("{}", info.spec.classes)},
                        {kMean, fmt::format("{}", fmt::join(info.normalization.mean, ","))},
                        {kStd, fmt::format("{}", fmt::join(info.normalization.stddev, ","))},
                        {kNames, fmt::format("{}", fmt::join(info.classes, "\n"))}});
}

LoadedNetwork load_network(const std::filesystem::path& path, const NetworkInfo& wanted, const LoadOptions& options) {
  const std::string where = path.string();
  const io::WeightFile file = io::load_weight_file(path);
  const NetworkInfo stored = info_of(file, where);
  LoadedNetwork result{nullptr, wanted, {}};
  nn::ModelSpec& spec = result.info.spec;

  if (spec.name.empty()) spec.name = stored.spec.name;
  check<ConfigError>(!spec.name.empty(), "{}: the file does not say which model its weights are of; name it", where);
  check<ConfigError>(stored.spec.name.empty() || spec.name == stored.spec.name, "{}: the weights are of {}, not of {}", where,
                     stored.spec.name, spec.name);
  if (spec.input.rank() == 0) spec.input = stored.spec.input;
  check<ConfigError>(spec.input.rank() == 3, "{}: the file does not say which images the network takes", where);
  check<ConfigError>(stored.spec.input.rank() == 0 || spec.input == stored.spec.input,
                     "{}: the network takes images of {}, not of {}", where, stored.spec.input, spec.input);
  if (spec.classes == 0) spec.classes = stored.spec.classes;
  if (spec.classes == 0)
    for (auto& [name, t] : file.tensors)
      if (t.rank() == 2) spec.classes = t.size(0);
  check<ConfigError>(spec.classes > 0, "{}: the file does not say how many classes there are", where);
  io::Normalization& normalization = result.info.normalization;
  if (normalization.mean.empty()) normalization = stored.normalization;
  if (normalization.mean.empty()) normalization = published_normalization(spec.name);
  check<ConfigError>(!normalization.mean.empty(),
                     "{}: the file does not say how its images were normalised; give mean and deviation", where);
  if (result.info.classes.empty()) result.info.classes = stored.classes;

  result.network = nn::make_model(spec);
  result.report = load(*result.network, file.tensors, options);
  result.network->train(false);
  return result;
}

}  // namespace graft::transfer
