#include "nn/models/models.h"

#include <functional>

#include "kernels/common/nearest_name.h"

namespace graft::nn {
namespace {

struct Entry {
  std::string name;
  std::function<std::unique_ptr<Chain>(const ModelSpec&)> make;
  int64_t vocabulary = 0;  // of a network on tokens; kOfClasses: as many as there are classes
};
constexpr int64_t kOfClasses = -1, kBertVocabulary = 30522;

Entry language_model(std::string name, int64_t layers, int64_t heads, int64_t dim, int64_t context) {
  return {std::move(name), [=](const ModelSpec& s) { return gpt2({layers, heads, dim, s.classes, context}); }, kOfClasses};
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = [] {
    std::vector<Entry> list{{"study_cnn", study_cnn}, {"mlp", mlp}, {"alexnet", alexnet}};
    for (int depth : {20, 32, 44, 56})
      list.push_back({fmt::format("resnet{}", depth), [depth](const ModelSpec& s) { return resnet_cifar(s, depth); }});
    list.push_back({"resnet18", [](const ModelSpec& s) { return resnet(s, {.blocks = {2, 2, 2, 2}}); }});
    list.push_back({"resnet50", [](const ModelSpec& s) { return resnet(s, {.blocks = {3, 4, 6, 3}, .bottleneck = true}); }});
    list.push_back(language_model("gpt2_124m", 12, 12, 768, 1024));
    list.push_back(language_model("decoder", 6, 6, 384, 256));
    list.push_back({"encoder",
                    [](const ModelSpec& s) {
                      return bert({6, 12, 384, kBertVocabulary, 512}, s.classes);
                    },
                    kBertVocabulary});
    return list;
  }();
  return all;
}

const Entry& entry(const std::string& name) {
  for (const Entry& e : entries())
    if (e.name == name) return e;
  throw ConfigError(fmt::format("model: none is named '{}': {}", name, did_you_mean(name, model_names())));
}

}  // namespace

std::unique_ptr<Chain> make_model(const ModelSpec& spec) {
  const Entry& e = entry(spec.name);
  check<ShapeError>(spec.input.rank() == (e.vocabulary ? 1 : 3) && spec.input.numel() > 0, "model: input: {} takes {}, got {}",
                    spec.name, e.vocabulary ? "tokens [T]" : "images [H, W, C]", spec.input);
  check<ConfigError>(spec.classes > 0, "model: classes: expected at least 1, got {}", spec.classes);
  auto net = e.make(spec);
  std::vector<int64_t> batch{1};
  batch.insert(batch.end(), spec.input.begin(), spec.input.end());
  net->output_shape(Shape(batch));  // the input fits every layer, or ShapeError now
  return net;
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& e : entries()) names.push_back(e.name);
  return names;
}

bool takes_tokens(const std::string& model) { return entry(model).vocabulary != 0; }

int64_t vocabulary(const ModelSpec& spec) {
  const int64_t n = entry(spec.name).vocabulary;
  return n == kOfClasses ? spec.classes : n;
}

}  // namespace graft::nn
