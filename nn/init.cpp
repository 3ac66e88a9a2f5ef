#include "nn/init.h"

#include <array>
#include <cmath>

#include "kernels/common/nearest_name.h"

namespace graft::nn {
namespace {

constexpr std::array<std::string_view, 3> kNames{"he_normal", "glorot_uniform", "gaussian_2014"};
constexpr int64_t kGrain = 1 << 14;  // elements a task draws

// t_i = f(i) for all i: f is pure, so the cut into tasks cannot be seen.
template <class F>
void fill(const Tensor& t, F f) {
  if (!t.device().on_host()) {
    const Tensor host = Tensor::empty(t.shape(), t.dtype());
    fill(host, f);
    return t.copy_from(host);
  }
  const auto run = [&](auto* p) {
    current_context().pool().parallel_range(t.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) p[i] = std::remove_pointer_t<decltype(p)>(f(uint64_t(i)));
    });
  };
  if (t.dtype() == DType::f64) run(t.data<double>());
  else run(t.data<float>());
  t.bump_version();
}

}  // namespace

std::string_view name(Init init) { return kNames[size_t(init)]; }

Init init_from_name(std::string_view text) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == text) return Init(i);
  throw ConfigError(fmt::format("init: none is named '{}': {}", text, did_you_mean(text, {kNames.begin(), kNames.end()})));
}

void fill_normal(const Tensor& t, double std, Philox stream) {
  fill(t, [=](uint64_t i) { return std * stream.normal(i); });
}

void fill_uniform(const Tensor& t, double limit, Philox stream) {
  fill(t, [=](uint64_t i) { return limit * (2 * stream.uniform(i) - 1); });
}

void fill_weight(const Tensor& weight, Init init, double gaussian_std, Philox stream) {
  const Shape& s = weight.shape();
  const double fan_in = double(s.product(1, s.rank())), fan_out = double(s.product(0, s.rank() - 1));
  switch (init) {
    case Init::he_normal: return fill_normal(weight, std::sqrt(2 / fan_in), stream);
    case Init::glorot_uniform: return fill_uniform(weight, std::sqrt(6 / (fan_in + fan_out)), stream);
    case Init::gaussian_2014: return fill_normal(weight, gaussian_std, stream);
  }
}

void initialize(Module& m, Init init, uint64_t key) {
  for (auto& [path, module] : m.named_modules()) module->reset(init, key, path);
}

}  // namespace graft::nn
