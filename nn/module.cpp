#include "nn/module.h"

#include <unordered_map>

#include "tensor/ops/loss.h"

namespace graft::nn {
namespace {

template <class M, class F>
void walk(M& m, const std::string& path, const F& f) {
  f(path, m);
  for (auto& [name, child] : m.children()) walk(static_cast<M&>(*child), join_path(path, name), f);
}

}  // namespace

std::string join_path(const std::string& prefix, const std::string& name) {
  return prefix.empty() || name.empty() ? prefix + name : prefix + "." + name;
}

Tensor Module::loss(const Tensor& x, const Tensor& labels, double label_smoothing) {
  return cross_entropy_inplace(forward(x), labels, label_smoothing);
}

NamedTensors Module::named_parameters() const {
  NamedTensors all;
  walk(*this, "", [&](const std::string& path, const Module& m) {
    for (auto& [name, t] : m.parameters_) all.emplace_back(join_path(path, name), *t);
  });
  return all;
}

NamedTensors Module::named_buffers() const {
  NamedTensors all;
  walk(*this, "", [&](const std::string& path, const Module& m) {
    for (auto& [name, t] : m.buffers_) all.emplace_back(join_path(path, name), *t);
  });
  return all;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> all;
  walk(*this, "", [&](const std::string& path, Module& m) { all.emplace_back(path, &m); });
  return all;
}

void Module::train(bool on) {
  walk(*this, "", [&](const std::string&, Module& m) { m.training_ = on; });
}

void Module::set_frozen(bool on) {
  walk(*this, "", [&](const std::string&, Module& m) {
    m.frozen_ = on;
    for (auto& [name, t] : m.parameters_) {
      t->set_requires_grad(!on);
      if (on) t->zero_grad();
    }
  });
}

bool Module::random() const {
  for (auto& [name, child] : children_)
    if (child->random()) return true;
  return false;
}

void Module::set_random(uint64_t key, uint64_t step) {
  walk(*this, "", [&](const std::string& path, Module& m) { m.set_stream(Philox{stream_key(key, path), step}); });
}

void Module::set_lengths(const Tensor& lengths) {
  walk(*this, "", [&](const std::string&, Module& m) { m.take_lengths(lengths); });
}

void Module::to(DType dtype, Device device) {
  walk(*this, "", [&](const std::string&, Module& m) {
    const DType own = m.keeps_f32() ? accumulate(dtype) : dtype;
    const auto convert = [&](Tensor& t) {
      if (t.dtype() == own && t.device() == device) return;
      const bool grad = t.requires_grad();
      t = t.to(own).to(device);
      t.set_requires_grad(grad);
    };
    for (auto& [name, t] : m.parameters_) convert(*t);
    for (auto& [name, t] : m.buffers_) convert(*t);
  });
}

void Module::set_parameters(const NamedTensors& given) {
  std::unordered_map<std::string, Tensor*> mine;
  walk(*this, "", [&](const std::string& path, Module& m) {
    for (auto& [name, t] : m.parameters_) mine[join_path(path, name)] = t;
  });
  for (const auto& [name, t] : given) {
    const auto found = mine.find(name);
    check<ConfigError>(found != mine.end(), "set_parameters: {}: there is none of that name", name);
    check<ShapeError>(t.shape() == found->second->shape(), "set_parameters: {}: expected {}, got {}", name, found->second->shape(),
                      t.shape());
  }
  for (const auto& [name, t] : given) *mine[name] = t;
}

void Module::add_parameter(std::string name, Tensor& t) {
  t.set_requires_grad(true);
  parameters_.emplace_back(std::move(name), &t);
}
void Module::add_buffer(std::string name, Tensor& t) { buffers_.emplace_back(std::move(name), &t); }
void Module::add_child(std::string name, Module& m) { children_.emplace_back(std::move(name), &m); }

int64_t parameter_count(const Module& m) {
  int64_t n = 0;
  for (auto& [name, t] : m.named_parameters()) n += t.numel();
  return n;
}

NamedTensors trainable_parameters(const Module& m) {
  NamedTensors list;
  for (auto& p : m.named_parameters())
    if (p.second.requires_grad()) list.push_back(p);
  return list;
}

}  // namespace graft::nn
