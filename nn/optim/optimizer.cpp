#include "nn/optim/optimizer.h"

#include <algorithm>
#include <set>

namespace graft::nn {

Optimizer::Optimizer(std::vector<ParamGroup> groups) : groups_(std::move(groups)) {
  std::set<std::string> names;
  std::set<const void*> seen;
  for (const ParamGroup& group : groups_) {
    check<ConfigError>(group.lr_multiplier >= 0 && group.decay_multiplier >= 0,
                       "optimizer: multipliers: expected at least 0, got lr {} and decay {}", group.lr_multiplier,
                       group.decay_multiplier);
    for (const auto& [name, param] : group.params) {
      check<ConfigError>(param.defined(), "optimizer: {}: undefined", name);
      check<ConfigError>(param.is_leaf() && param.requires_grad(), "optimizer: {} is frozen: leave it out of the groups", name);
      check<ConfigError>(names.insert(name).second && seen.insert(param.raw()).second, "optimizer: {} is in the groups twice",
                         name);
      slots_.push_back({name, param, group.lr_multiplier, group.decay_multiplier, {}});
    }
  }
  check<ConfigError>(!slots_.empty(), "optimizer: no parameters");
}

void Optimizer::add_state(const char* name) {
  state_names_.push_back(name);
  for (Slot& s : slots_) s.state.push_back(Tensor::zeros_like(s.param));
}

void Optimizer::step(double lr) {
  for (const Slot& s : slots_) {
    check<Error>(s.param.requires_grad(), "optimizer: {} was frozen after the optimizer was made", s.name);
    check<Error>(s.param.grad().defined(), "optimizer: {} has no gradient: it took no part in the loss", s.name);
  }
  update(lr, ++steps_);
}

void Optimizer::zero_grad() {
  for (const Slot& s : slots_) s.param.zero_grad();
}

NamedTensors Optimizer::state() const {
  NamedTensors list{{"steps", Tensor::from({steps_}, {1})}};
  for (const Slot& s : slots_)
    for (size_t i = 0; i < state_names_.size(); ++i) list.emplace_back(fmt::format("{}.{}", s.name, state_names_[i]), s.state[i]);
  return list;
}

void Optimizer::load_state(const NamedTensors& given) {
  std::string faults;
  const auto fault = [&](const std::string& text) { faults.append(faults.empty() ? "" : "; ").append(text); };
  const NamedTensors mine = state();
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const auto& [name, to] : mine) {
    const auto found = std::find_if(given.begin(), given.end(), [&](const auto& g) { return g.first == name; });
    if (found == given.end()) fault("missing " + name);
    else if (const Tensor& from = found->second; from.shape() != to.shape() || from.dtype() != to.dtype())
      fault(fmt::format("{}: expected {}{}, got {}{}", name, graft::name(to.dtype()), to.shape(), graft::name(from.dtype()),
                        from.shape()));
    else copies.emplace_back(to, from);
  }
  for (const auto& [name, t] : given)
    if (std::none_of(mine.begin(), mine.end(), [&](const auto& m) { return m.first == name; })) fault("unexpected " + name);
  check<LoadError>(faults.empty(), "optimizer state: {}", faults);
  for (const auto& [to, from] : copies) to.copy_from(from);
  steps_ = copies[0].first.data<int64_t>()[0];
}

Sgd::Sgd(std::vector<ParamGroup> groups, SgdOptions options) : Optimizer(std::move(groups)), options_(options) {
  check<ConfigError>(options.momentum >= 0 && options.momentum < 1, "sgd: momentum: expected in [0, 1), got {}", options.momentum);
  check<ConfigError>(options.weight_decay >= 0, "sgd: weight_decay: expected at least 0, got {}", options.weight_decay);
  check<ConfigError>(!options.nesterov || options.momentum > 0, "sgd: nesterov needs momentum");
  if (options.momentum > 0) add_state("velocity");
}

void Sgd::update(double lr, int64_t) {
  std::vector<SgdUpdate> updates;
  for (const Slot& s : slots())
    updates.push_back({s.param, s.param.grad(), s.state.empty() ? Tensor{} : s.state[0], lr * s.lr_multiplier,
                       options_.weight_decay * s.decay_multiplier});
  sgd_step(updates, {options_.momentum, options_.nesterov});
}

AdamW::AdamW(std::vector<ParamGroup> groups, AdamWOptions options) : Optimizer(std::move(groups)), options_(options) {
  for (double beta : {options.beta1, options.beta2})
    check<ConfigError>(beta >= 0 && beta < 1, "adamw: beta: expected in [0, 1), got {}", beta);
  check<ConfigError>(options.epsilon > 0, "adamw: epsilon: expected more than 0, got {}", options.epsilon);
  check<ConfigError>(options.weight_decay >= 0, "adamw: weight_decay: expected at least 0, got {}", options.weight_decay);
  add_state("mean");
  add_state("square");
}

void AdamW::update(double lr, int64_t step) {
  std::vector<AdamwUpdate> updates;
  for (const Slot& s : slots())
    updates.push_back(
        {s.param, s.param.grad(), s.state[0], s.state[1], lr * s.lr_multiplier, options_.weight_decay * s.decay_multiplier});
  adamw_step(updates, {options_.beta1, options_.beta2, options_.epsilon, step});
}

}  // namespace graft::nn
