#include "transfer/network_file.h"

#include <doctest/doctest.h>

#include "io/weights/weights.h"
#include "tests/transfer/toy.h"
#include "transfer/evaluate.h"
#include "transfer/proof.h"

using namespace graft;
using namespace graft::transfer;

TEST_CASE("network file: what was saved is enough to use it, to the same logits") {
  const auto path = std::filesystem::temp_directory_path() / "graft-test-network.safetensors";
  auto net = toy::study_cnn(1);
  const NetworkInfo info{{"study_cnn", {16, 16, 3}, 4}, {{0.1, 0.2, 0.3}, {0.25, 0.25, 1.0 / 3}}, {"a", "b b", "c", "d"}};
  save_network(path, *net, info);
  const LoadedNetwork back = load_network(path);
  CHECK(back.info.spec.name == "study_cnn");
  CHECK(back.info.spec.input == info.spec.input);
  CHECK(back.info.spec.classes == 4);
  CHECK(back.info.normalization.mean == info.normalization.mean);
  CHECK(back.info.normalization.stddev == info.normalization.stddev);
  CHECK(back.info.classes == info.classes);
  CHECK(hash_weights(*back.network) == hash_weights(*net));
  CHECK(!back.network->training());

  CHECK_THROWS_WITH_AS(load_network(path, {{"mlp", {}, 0}, {}, {}}), doctest::Contains("of study_cnn, not of mlp"), ConfigError);
  CHECK_THROWS_AS(load_network(path, {{"", {32, 32, 3}, 0}, {}, {}}), ConfigError);
  CHECK_THROWS_AS(load_network(path, {{"", {}, 7}, {}, {}}), LoadError);

  // Weights by others: names and layouts, nothing else.
  io::save_safetensors(path, to_file_layout(*net));
  CHECK_THROWS_WITH_AS(load_network(path), doctest::Contains("which model"), ConfigError);
  CHECK_THROWS_WITH_AS(load_network(path, {{"study_cnn", {}, 0}, {}, {}}), doctest::Contains("which images"), ConfigError);
  CHECK_THROWS_WITH_AS(load_network(path, {{"study_cnn", {16, 16, 3}, 0}, {}, {}}), doctest::Contains("normalised"), ConfigError);
  const LoadedNetwork other = load_network(path, {{"study_cnn", {16, 16, 3}, 0}, {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}, {}});
  CHECK(other.info.spec.classes == 4);
  CHECK(hash_weights(*other.network) == hash_weights(*net));
  std::filesystem::remove(path);
}
