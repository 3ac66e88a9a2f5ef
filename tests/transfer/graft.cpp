#include "transfer/graft.h"

#include <doctest/doctest.h>

#include "tests/transfer/toy.h"
#include "transfer/freeze.h"
#include "transfer/proof.h"

using namespace graft;
using namespace graft::transfer;

TEST_CASE("freeze: names, ranges, globs; what matches nothing is an error that lists the names") {
  auto net = toy::study_cnn(1);
  using Names = std::vector<std::string>;
  CHECK(freeze(*net, "conv2") == Names{"conv2"});
  CHECK(net->block(1).frozen());
  CHECK(!net->block(0).frozen());
  CHECK(freeze(*net, "conv1-conv3") == Names{"conv1", "conv2", "conv3"});
  CHECK(freeze(*net, "fc*, conv4") == Names{"fc5", "fc6", "fc7", "conv4"});
  CHECK(unfreeze(*net, "*").size() == 7);
  CHECK(net->named_parameters()[0].second.requires_grad());
  CHECK(freeze_first(*net, 2) == Names{"conv1", "conv2"});
  CHECK(freeze_first(*net, 0).empty());
  CHECK_THROWS_AS(freeze_first(*net, 8), ConfigError);
  CHECK_THROWS_WITH_AS(freeze(*net, "conv9"),
                       "freeze: 'conv9' matches nothing (there are the blocks conv1, conv2, conv3, conv4, fc5, fc6, fc7)",
                       ConfigError);
  CHECK_THROWS_AS(freeze(*net, ""), ConfigError);
  CHECK_THROWS_AS(freeze(*net, "conv3-conv1"), ConfigError);
  CHECK_THROWS_AS(freeze(*net, "conv1-conv9"), ConfigError);

  auto norm = toy::norm_net(1);
  CHECK(freeze(*norm, "*.bn") == Names{"conv1.bn", "conv2.bn"});
  int64_t frozen = 0;
  for (const TensorState& s : tensor_states(*norm)) frozen += s.frozen;
  CHECK(frozen == 2 * 4);

  nn::Chain features;
  for (const char* name : {"features.0", "features.1", "features.4"}) features.add<nn::Linear>(name, 2, 2);
  CHECK(freeze(features, "features.0-1") == Names{"features.0", "features.1"});
  CHECK(freeze(features, "features.1-features.4") == Names{"features.1", "features.4"});
}

TEST_CASE("glob") {
  CHECK(glob_match("*", ""));
  CHECK(glob_match("layer1.*", "layer1.0.conv1.weight"));
  CHECK(glob_match("*.b?as", "fc.bias"));
  CHECK(glob_match("a*b*c", "a.b.b.c"));
  CHECK(!glob_match("a*b", "a.b.c"));
  CHECK(!glob_match("layer1", "layer1.0"));
  CHECK(!glob_match("", "x"));
}

TEST_CASE("graft: the first n blocks with parameters and buffers, frozen; keep copies without freezing") {
  auto source = toy::norm_net(1), target = toy::norm_net(2);
  for (auto& [name, t] : source->named_buffers()) t.fill(0.25);
  const auto hashes = [](nn::Chain& net) {
    std::vector<uint64_t> h;
    for (int i = 0; i < net.size(); ++i) h.push_back(hash_weights(net.block(i)));
    return h;
  };
  const auto a = hashes(*source), fresh = hashes(*target);
  const GraftReport r = graft::transfer::graft(*source, *target, {.cut = 1, .keep = 1});
  const auto b = hashes(*target);
  CHECK(b[0] == a[0]);
  CHECK(b[1] == a[1]);
  CHECK(b[2] == fresh[2]);
  CHECK(target->block(0).frozen());
  CHECK(!target->block(1).frozen());
  CHECK(r.rows.size() == 4);
  CHECK(r.rows[0].origin == Origin::transferred);
  CHECK(r.rows[0].frozen);
  CHECK(r.rows[1].origin == Origin::kept);
  CHECK(r.rows[3].origin == Origin::fresh);
  CHECK(r.str().find("conv2") != std::string::npos);
  CHECK(!source->block(0).frozen());

  // Own copies: training one network does not change the other.
  target->named_parameters()[0].second.fill(0);
  CHECK(hashes(*source) == a);

  auto plus = toy::norm_net(2);
  graft::transfer::graft(*source, *plus, {.cut = 2, .freeze = false});
  CHECK(!plus->block(0).frozen());
  CHECK(hashes(*plus)[1] == a[1]);
}

TEST_CASE("graft: what does not fit is refused whole") {
  auto source = toy::study_cnn(1, 16, 3, 4), other = toy::study_cnn(2, 16, 3, 6), grey = toy::study_cnn(2, 16, 1, 4);
  const uint64_t before = hash_weights(*grey);
  CHECK_THROWS_WITH_AS(graft::transfer::graft(*source, *grey, {.cut = 2}), doctest::Contains("conv1.weight"), ShapeError);
  CHECK(hash_weights(*grey) == before);
  CHECK_THROWS_AS(graft::transfer::graft(*source, *other, {.cut = 7}), ShapeError);  // another number of classes
  CHECK_NOTHROW(graft::transfer::graft(*source, *other, {.cut = 6}));
  CHECK_THROWS_AS(graft::transfer::graft(*source, *other, {.cut = 8}), ConfigError);
  CHECK_THROWS_AS(graft::transfer::graft(*source, *other, {.cut = 6, .keep = 2}), ConfigError);
  CHECK_THROWS_AS(graft::transfer::graft(*source, *other, {.cut = -1}), ConfigError);
}
