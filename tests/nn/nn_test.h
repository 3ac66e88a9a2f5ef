// What the tests of networks share: small inputs for every model, random inputs, equality of bits.
#pragma once
#include <cmath>
#include <cstring>

#include "nn/init.h"
#include "nn/models/models.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/view.h"

namespace graft::nn {

// Every model on a small input that exercises all of its layers, study_cnn on both of its sizes.
inline std::vector<ModelSpec> small_models() {
  return {{"study_cnn", {32, 32, 3}, 10}, {"study_cnn", {28, 28, 1}, 5}, {"mlp", {8, 8, 1}, 3},      {"alexnet", {67, 67, 3}, 5},
          {"resnet20", {16, 16, 3}, 10},  {"resnet32", {8, 8, 3}, 4},    {"resnet44", {8, 8, 3}, 4}, {"resnet56", {8, 8, 3}, 4},
          {"resnet18", {32, 32, 3}, 5},   {"resnet50", {32, 32, 3}, 5},  {"decoder", {6}, 11},       {"encoder", {5}, 3}};
}
// Those of 85 M parameters on any input: seconds each.
inline std::vector<ModelSpec> large_models() { return {{"gpt2_124m", {4}, 7}}; }

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

// Images, or token ids.
inline Tensor random_inputs(int64_t n, const ModelSpec& spec, uint64_t key = 7) {
  if (!takes_tokens(spec.name)) return random_images(n, spec.input, key);
  const Tensor ids = Tensor::empty({n, spec.input[0]}, DType::i64);
  for (int64_t i = 0; i < ids.numel(); ++i)
    ids.data<int64_t>()[i] = int64_t(Philox{key, 0}.uniform(uint64_t(i)) * double(vocabulary(spec)));
  return ids;
}

// Mean cross-entropy of logits [.., C] with the labels 0, 1, .. C - 1, 0, ..
inline Tensor loss_of(const Tensor& logits) {
  const int64_t classes = logits.size(-1), n = logits.numel() / classes;
  const Tensor labels = Tensor::empty({n}, DType::i64, logits.device());
  for (int64_t i = 0; i < n; ++i) labels.data<int64_t>()[i] = i % classes;
  return cross_entropy(reshape(logits, {n, classes}), labels);
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
