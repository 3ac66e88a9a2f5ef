#include "nn/models/models.h"

#include <functional>

#include "kernels/common/nearest_name.h"

namespace graft::nn {
namespace {

struct Entry {
  std::string name;
  std::function<std::unique_ptr<Chain>(const ModelSpec&)> make;
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = [] {
    std::vector<Entry> list{{"study_cnn", study_cnn}, {"mlp", mlp}, {"alexnet", alexnet}};
    for (int depth : {20, 32, 44, 56})
      list.push_back({fmt::format("resnet{}", depth), [depth](const ModelSpec& s) { return resnet_cifar(s, depth); }});
    return list;
  }();
  return all;
}

}  // namespace

std::unique_ptr<Chain> make_model(const ModelSpec& spec) {
  check<ShapeError>(spec.input.rank() == 3 && spec.input.numel() > 0, "model: input: expected [H, W, C], got {}", spec.input);
  check<ConfigError>(spec.classes > 0, "model: classes: expected at least 1, got {}", spec.classes);
  for (const Entry& e : entries())
    if (e.name == spec.name) return e.make(spec);
  throw ConfigError(fmt::format("model: none is named '{}': {}", spec.name, did_you_mean(spec.name, model_names())));
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Entry& e : entries()) names.push_back(e.name);
  return names;
}

}  // namespace graft::nn
