#include "nn/optim/optimizer.h"

#include <algorithm>
#include <set>

namespace graft::nn {
namespace {

Tensor master_of(const std::string& name, const Tensor& param, const NamedTensors& masters) {
  if (param.dtype() != DType::bf16) return {};
  const auto given = std::find_if(masters.begin(), masters.end(), [&](const auto& m) { return m.first == name; });
  if (given == masters.end()) return param.detach().to(DType::f32);
  const Tensor& m = given->second;
  check<ConfigError>(m.shape() == param.shape() && m.dtype() == DType::f32 && m.device() == param.device(),
                     "optimizer: master of {}: expected f32{} on {}, got {}", name, param.shape(),
                     graft::name(param.device().backend), m.str());
  return m;
}

}  // namespace

Optimizer::Optimizer(std::vector<ParamGroup> groups, const NamedTensors& masters) : groups_(std::move(groups)) {
  std::set<std::string> names;
  std::set<const void*> seen;
  for (const ParamGroup& group : groups_) {
    check<ConfigError>(group.lr_multiplier >= 0 && group.decay_multiplier >= 0,
                       "optimizer: multipliers: expected at least 0, got lr {} and decay {}", group.lr_multiplier,
                       group.decay_multiplier);
    for (const auto& [name, param] : group.params) {
      check<ConfigError>(param.defined(), "optimizer: {}: undefined", name);
      check<ConfigError>(param.is_leaf() && param.requires_grad(), "optimizer: {} is frozen: leave it out of the groups", name);
      check<ConfigError>(names.insert(name).second && seen.insert(param.device_raw()).second,
                         "optimizer: {} is in the groups twice", name);
      slots_.push_back({name, param, master_of(name, param, masters), group.lr_multiplier, group.decay_multiplier, {}});
    }
  }
  check<ConfigError>(!slots_.empty(), "optimizer: no parameters");
  state_ = std::make_unique<DeviceStepState>(slots_[0].param.device());
}

void Optimizer::add_state(const char* name) {
  state_names_.push_back(name);
  for (Slot& s : slots_) s.state.push_back(Tensor::zeros_like(s.weight()));
}

void Optimizer::check_gradients() const {
  for (const Slot& s : slots_) {
    check<Error>(s.param.requires_grad(), "optimizer: {} was frozen after the optimizer was made", s.name);
    check<Error>(s.param.grad().defined(), "optimizer: {} has no gradient: it took no part in the loss", s.name);
  }
}

void Optimizer::prepare(double lr, double max_norm) {
  check<ConfigError>(max_norm >= 0, "optimizer: max_norm: expected 0 or more, got {}", max_norm);
  max_norm_ = max_norm;
  state_->set({.lr = lr, .step = ++steps_, .max_norm = max_norm});
}

void Optimizer::step_prepared() {
  check_gradients();
  if (max_norm_ > 0) {
    std::vector<Tensor> gradients;
    gradients.reserve(slots_.size());
    for (const Slot& s : slots_) gradients.push_back(s.param.grad());
    state_->measure(gradients);
  }
  update(state_->get());
}

void Optimizer::step(double lr, double max_norm) {
  check_gradients();
  prepare(lr, max_norm);
  step_prepared();
}

void Optimizer::zero_grad() {
  for (const Slot& s : slots_) s.param.zero_grad();
}

NamedTensors Optimizer::state() const {
  NamedTensors list{{"steps", Tensor::from({steps_}, {1})}};
  for (const Slot& s : slots_) {
    if (s.master) list.emplace_back(s.name + ".master", s.master);
    for (size_t i = 0; i < state_names_.size(); ++i) list.emplace_back(fmt::format("{}.{}", s.name, state_names_[i]), s.state[i]);
  }
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
  for (const Slot& s : slots_)
    if (s.master) s.param.copy_from(s.master);
  steps_ = copies[0].first.data<int64_t>()[0];
}

Sgd::Sgd(std::vector<ParamGroup> groups, SgdOptions options, const NamedTensors& masters)
    : Optimizer(std::move(groups), masters), options_(options) {
  check<ConfigError>(options.momentum >= 0 && options.momentum < 1, "sgd: momentum: expected in [0, 1), got {}", options.momentum);
  check<ConfigError>(options.weight_decay >= 0, "sgd: weight_decay: expected at least 0, got {}", options.weight_decay);
  check<ConfigError>(!options.nesterov || options.momentum > 0, "sgd: nesterov needs momentum");
  if (options.momentum > 0) add_state("velocity");
}

void Sgd::update(const StepState* state) {
  std::vector<SgdUpdate> updates;
  for (const Slot& s : slots())
    updates.push_back({s.weight(), s.param.grad(), s.state.empty() ? Tensor{} : s.state[0], s.lr_multiplier,
                       options_.weight_decay * s.decay_multiplier, s.rounded()});
  sgd_step(updates, {options_.momentum, options_.nesterov, state});
}

AdamW::AdamW(std::vector<ParamGroup> groups, AdamWOptions options, const NamedTensors& masters)
    : Optimizer(std::move(groups), masters), options_(options) {
  for (double beta : {options.beta1, options.beta2})
    check<ConfigError>(beta >= 0 && beta < 1, "adamw: beta: expected in [0, 1), got {}", beta);
  check<ConfigError>(options.epsilon > 0, "adamw: epsilon: expected more than 0, got {}", options.epsilon);
  check<ConfigError>(options.weight_decay >= 0, "adamw: weight_decay: expected at least 0, got {}", options.weight_decay);
  add_state("mean");
  add_state("square");
}

void AdamW::update(const StepState* state) {
  std::vector<AdamwUpdate> updates;
  for (const Slot& s : slots())
    updates.push_back({s.weight(), s.param.grad(), s.state[0], s.state[1], s.lr_multiplier,
                       options_.weight_decay * s.decay_multiplier, s.rounded()});
  adamw_step(updates, {options_.beta1, options_.beta2, options_.epsilon, 1, state});
}

}  // namespace graft::nn
