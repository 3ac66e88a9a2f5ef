// What the tests of networks share: small inputs for every model, random images, equality of bits.
#pragma once
#include <cmath>
#include <cstring>

#include "nn/init.h"
#include "nn/models/models.h"

namespace graft::nn {

// Every model on a small input that exercises all of its layers, study_cnn on both of its sizes.
inline std::vector<ModelSpec> small_models() {
  return {{"study_cnn", {32, 32, 3}, 10}, {"study_cnn", {28, 28, 1}, 5}, {"mlp", {8, 8, 1}, 3},      {"alexnet", {67, 67, 3}, 5},
          {"resnet20", {16, 16, 3}, 10},  {"resnet32", {8, 8, 3}, 4},    {"resnet44", {8, 8, 3}, 4}, {"resnet56", {8, 8, 3}, 4}};
}

inline std::unique_ptr<Chain> make_initialized(const ModelSpec& spec, uint64_t key = 1, Init init = Init::he_normal) {
  auto net = make_model(spec);
  initialize(*net, init, key);
  net->set_random(key, 0);
  return net;
}

inline Tensor random_images(int64_t n, const Shape& image, uint64_t key = 7) {
  const Tensor x = Tensor::empty({n, image[0], image[1], image[2]});
  fill_normal(x, 1, Philox{key, 0});
  return x;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

inline NamedTensors copy_of(const NamedTensors& list) {
  NamedTensors copy;
  for (auto& [name, t] : list) copy.emplace_back(name, t.clone());
  return copy;
}

inline bool all_finite(const Tensor& t) {
  for (double v : t.to_vector<double>())
    if (!std::isfinite(v)) return false;
  return true;
}

}  // namespace graft::nn
