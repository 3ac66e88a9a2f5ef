#include "transfer/load.h"

#include <doctest/doctest.h>

#include "tests/transfer/toy.h"
#include "transfer/proof.h"

using namespace graft;
using namespace graft::transfer;

namespace {

nn::NamedTensors file_of(const nn::Module& m, const std::string& prefix = "") {
  nn::NamedTensors all;
  for (auto& [name, t] : to_file_layout(m)) all.emplace_back(prefix + name, t);
  return all;
}

Tensor& entry(nn::NamedTensors& file, const std::string& name) {
  for (auto& [n, t] : file)
    if (n == name) return t;
  FAIL("no tensor " << name);
  return file[0].second;
}

}  // namespace

TEST_CASE("load: the file layout is PyTorch's, and loading is its inverse") {
  auto source = toy::norm_net(1), target = toy::norm_net(2);
  for (auto& [name, t] : source->named_buffers()) t.fill(0.25);
  nn::NamedTensors file = file_of(*source, "module.");
  const Tensor ours = source->named_parameters()[3].second;  // conv2.conv.weight [8, 3, 3, 8]
  const Tensor theirs = entry(file, "module.conv2.conv.weight");
  CHECK(theirs.shape() == Shape{8, 8, 3, 3});
  const auto at = [](const Tensor& t, int64_t a, int64_t b, int64_t c, int64_t d) {
    return t.data<float>()[((a * t.size(1) + b) * t.size(2) + c) * t.size(3) + d];
  };
  CHECK(at(theirs, 5, 6, 1, 2) == at(ours, 5, 1, 2, 6));
  // Column (c, h, w) of the file is column (h, w, c) of the network; the map is 4x4 with 8 channels.
  const Tensor linear = entry(file, "module.fc3.linear.weight");
  CHECK(linear.data<float>()[3 * 128 + 7 * 16 + 2 * 4 + 1] ==
        source->named_parameters()[6].second.data<float>()[3 * 128 + (2 * 4 + 1) * 8 + 7]);

  file.emplace_back("module.conv1.bn.num_batches_tracked", Tensor::from<int64_t>({3}, {}));
  const LoadReport r = load(*target, file);
  CHECK(hash_weights(*target) == hash_weights(*source));
  CHECK(r.rows.size() == file.size());
  CHECK(r.count(LoadAction::transformed) == 3);
  CHECK(r.count(LoadAction::skipped) == 1);
  CHECK(r.count(LoadAction::loaded) == 11);
  CHECK(r.str().find("OIHW [8, 8, 3, 3] -> OHWI") != std::string::npos);
  CHECK(r.str().find("columns CHW -> HWC of [4, 4, 8]") != std::string::npos);
}

TEST_CASE("load: strict, one error lists all, and the network is unchanged") {
  auto net = toy::norm_net(1);
  const uint64_t before = hash_weights(*net);
  nn::NamedTensors file = file_of(*toy::norm_net(2));
  file.erase(file.begin());
  entry(file, "fc4.weight") = Tensor::zeros({5, 16});
  entry(file, "fc4.bias") = Tensor::zeros({4}, DType::i64);
  file.emplace_back("extra.weight", Tensor::zeros({2}));
  file.push_back(file[2]);
  std::string text;
  try {
    load(*net, file);
  } catch (const LoadError& e) {
    text = e.what();
  }
  for (const char* part :
       {"5 tensors", "missing: conv1.conv.weight [8, 3, 3, 3]", "mis-shaped: fc4.weight: expected [4, 16], got [5, 16]",
        "wrong type: fc4.bias: expected f32, got i64", "unexpected: extra.weight [2]", "twice in the file: "}) {
    INFO(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(hash_weights(*net) == before);
}

TEST_CASE("load: partial on request, shapes still checked, a pattern that matches nothing is refused") {
  auto source = toy::norm_net(1, 7), target = toy::norm_net(2);
  nn::NamedTensors file = file_of(*source);
  CHECK_THROWS_AS(load(*target, file), LoadError);
  const uint64_t head = hash_weights(target->block(3));
  LoadReport r = load(*target, file, {.fresh = {"fc4.*"}});
  CHECK(r.count(LoadAction::fresh) == 2);
  CHECK(hash_weights(target->block(3)) == head);
  CHECK(hash_weights(target->block(2)) == hash_weights(source->block(2)));

  entry(file, "conv1.bn.weight") = Tensor::zeros({9});
  CHECK_THROWS_WITH_AS(load(*target, file, {.fresh = {"fc4.*"}}), doctest::Contains("conv1.bn.weight"), LoadError);

  file = file_of(*source);
  file.emplace_back("aux.weight", Tensor::zeros({2}));
  r = load(*target, file, {.skip = {"aux.*"}, .fresh = {"fc4.*"}});
  CHECK(r.count(LoadAction::skipped) == 1);
  CHECK_THROWS_AS(load(*target, file, {.skip = {"aux.*", "head.*"}, .fresh = {"fc4.*"}}), ConfigError);
  CHECK_THROWS_AS(load(*target, file, {.skip = {"aux.*"}, .fresh = {"fc4.*", "fc9.*"}}), ConfigError);
  // Skipped is not loaded: the network still wants it.
  CHECK_THROWS_AS(load(*target, file, {.skip = {"aux.*", "conv1.*"}, .fresh = {"fc4.*"}}), LoadError);
}

TEST_CASE("load: float types are converted, and the report says so") {
  auto source = toy::norm_net(1), target = toy::norm_net(2);
  nn::NamedTensors file = file_of(*source);
  for (auto& [name, t] : file) t = t.to(DType::f64);
  const LoadReport r = load(*target, file);
  CHECK(r.count(LoadAction::transformed) == 14);
  CHECK(hash_weights(*target) == hash_weights(*source));
}
