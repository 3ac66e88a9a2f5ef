#include "transfer/graft.h"

#include <fmt/format.h>

#include "nn/chain.h"
#include "transfer/freeze.h"

namespace graft::transfer {
namespace {

nn::NamedTensors tensors(const nn::Module& m) {
  nn::NamedTensors all = m.named_parameters();
  for (auto& b : m.named_buffers()) all.push_back(b);
  return all;
}

}  // namespace

GraftReport graft(const nn::Chain& source, nn::Chain& target, const GraftOptions& options) {
  const int64_t copied = options.cut + options.keep;
  const int blocks = std::min(source.size(), target.size());
  check<ConfigError>(options.cut >= 0 && options.keep >= 0 && copied <= blocks,
                     "graft: cut {} and keep {}: expected at most {} blocks in all", options.cut, options.keep, blocks);
  std::vector<std::string> faults;
  std::vector<std::pair<Tensor, Tensor>> pairs;
  for (int i = 0; i < copied; ++i) {
    const nn::NamedTensors from = tensors(source.block(i)), to = tensors(target.block(i));
    if (from.size() != to.size()) {
      faults.push_back(fmt::format("block {}: {} tensors in the source's {}, {} in the target", target.name(i), from.size(),
                                   source.name(i), to.size()));
      continue;
    }
    for (size_t k = 0; k < from.size(); ++k) {
      if (from[k].first == to[k].first && from[k].second.shape() == to[k].second.shape())
        pairs.emplace_back(from[k].second, to[k].second);
      else
        faults.push_back(fmt::format("{}.{}: {} in the target, {} {} in the source", target.name(i), to[k].first,
                                     to[k].second.shape(), from[k].first, from[k].second.shape()));
    }
  }
  check<ShapeError>(faults.empty(), "graft: the first {} blocks do not fit: {}", copied, fmt::join(faults, "; "));
  for (auto& [from, to] : pairs) to.copy_from(from);
  if (options.freeze) freeze_first(target, options.cut);

  GraftReport report;
  for (int i = 0; i < target.size(); ++i) {
    const Origin origin = i < options.cut ? Origin::transferred : i < copied ? Origin::kept : Origin::fresh;
    report.rows.push_back({target.name(i), origin, target.block(i).frozen(), nn::parameter_count(target.block(i))});
  }
  return report;
}

std::string GraftReport::str() const {
  constexpr const char* kOrigins[] = {"transferred", "kept", "fresh"};
  size_t width = 5;
  for (const GraftRow& r : rows) width = std::max(width, r.block.size());
  std::string s = fmt::format("{:{}}  {:>10}  {:11}  {}\n", "block", width, "parameters", "origin", "state");
  for (const GraftRow& r : rows)
    s += fmt::format("{:{}}  {:>10}  {:11}  {}\n", r.block, width, r.parameters, kOrigins[int(r.origin)],
                     r.frozen ? "frozen" : "trainable");
  return s;
}

}  // namespace graft::transfer
