#include "transfer/cache.h"

#include <doctest/doctest.h>

#include <thread>

#include "tests/transfer/toy.h"
#include "transfer/evaluate.h"
#include "transfer/freeze.h"
#include "transfer/train.h"

using namespace graft;
using namespace graft::transfer;

namespace {

TrainConfig quick() {
  TrainConfig c;
  c.epochs = 3;
  c.batch = 16;
  c.preprocessing.normalization = {{0.4, 0.4, 0.4}, {0.2, 0.2, 0.2}};
  return c;
}

constexpr TrainKeys kKeys{7, 8};
const std::filesystem::path kFolder = std::filesystem::temp_directory_path() / "graft-test-cache";

}  // namespace

TEST_CASE("cache: training and evaluation from it give the same bits, in memory and from disk") {
  const io::Dataset data = toy::images(70, 1), test = toy::images(50, 2);
  const TrainConfig config = quick();
  for (const bool norms : {false, true})
    for (int64_t cut = 1; cut <= (norms ? 4 : 6); ++cut) {
      const auto fresh = [&] {
        auto net = norms ? toy::norm_net(3) : toy::study_cnn(3);
        for (auto& [name, t] : net->named_buffers())
          for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] += 0.1f * float(i % 3);
        freeze_first(*net, std::min<int64_t>(cut, norms ? 3 : 6));
        return net;
      };
      auto plain = fresh();
      const TrainResult expected = train(*plain, data, kKeys, config);
      const Evaluation accuracy = evaluate(*plain, test, {.preprocessing = config.preprocessing});
      for (const size_t memory : {size_t{1} << 30, size_t{1}}) {
        PrefixCache cache({.memory_limit = memory, .folder = kFolder});
        auto net = fresh();
        const auto prefix = cache.get(*net, cut, data, config.preprocessing);
        REQUIRE(prefix);
        CHECK(prefix->on_disk() == (memory == 1));
        CHECK(prefix->blocks() == std::min<int64_t>(cut, norms ? 2 : 6));  // dropout in fc3 ends it
        const TrainResult r = train(*net, data, kKeys, config, {}, prefix.get());
        CHECK(r.losses == expected.losses);
        CHECK(hash_weights(*net) == hash_weights(*plain));
        const auto on_test = cache.get(*net, cut, test, config.preprocessing);
        const Evaluation e = evaluate(*net, test, {.batch = 17, .preprocessing = config.preprocessing}, on_test.get());
        CHECK(e.correct == accuracy.correct);
        CHECK(e.loss == accuracy.loss);
      }
    }
  CHECK(std::filesystem::is_empty(kFolder));
  std::filesystem::remove_all(kFolder);
}

TEST_CASE("cache: shared, built on a shorter prefix, and dropped when nobody holds it") {
  const io::Dataset data = toy::images(40, 1);
  const Preprocessing p;
  auto net = toy::study_cnn(3);
  freeze_first(*net, 4);
  PrefixCache cache({.memory_limit = 40 * (8 * 8 * 16 + 4 * 4 * 32) * sizeof(float)});
  auto one = cache.get(*net, 1, data, p);
  CHECK(one->row_shape() == Shape{8, 8, 16});
  CHECK(cache.get(*net, 1, data, p) == one);
  auto two = cache.get(*net, 2, data, p);
  CHECK(cache.stats().computed == 2);
  CHECK(cache.stats().reused == 1);
  CHECK(cache.stats().memory == one->bytes() + two->bytes());
  PrefixCache other({});
  const Tensor a = other.get(*net, 2, data, p)->rows(0, 40), b = two->rows(0, 40);
  CHECK(hash_tensor(a) == hash_tensor(b));
  CHECK(cache.get(*net, 3, data, p) == nullptr);  // both are held, and nothing may spill
  one.reset();
  CHECK(cache.get(*net, 3, data, p) != nullptr);
}

TEST_CASE("cache: the key is weights, data and preprocessing; another prefix is refused") {
  const io::Dataset data = toy::images(40, 1), other = toy::images(40, 2);
  TrainConfig config = quick();
  auto net = toy::study_cnn(3);
  CHECK(cacheable_blocks(*net) == 0);
  PrefixCache cache({});
  CHECK(cache.get(*net, 2, data, config.preprocessing) == nullptr);  // nothing is frozen
  freeze_first(*net, 2);
  CHECK(cacheable_blocks(*net) == 2);
  const auto prefix = cache.get(*net, 5, data, config.preprocessing);
  CHECK(prefix->blocks() == 2);
  CHECK_THROWS_AS(train(*net, other, kKeys, config, {}, prefix.get()), ConfigError);
  TrainConfig changed = config;
  changed.preprocessing.normalization.mean[0] = 0.5;
  CHECK_THROWS_AS(train(*net, data, kKeys, changed, {}, prefix.get()), ConfigError);
  changed = config;
  changed.preprocessing.augment.flip = 0.5;
  CHECK_THROWS_AS(train(*net, data, kKeys, changed, {}, prefix.get()), ConfigError);
  CHECK_THROWS_AS(cache.get(*net, 2, data, changed.preprocessing), ConfigError);
  auto twin = toy::study_cnn(4);
  freeze_first(*twin, 2);
  CHECK_THROWS_AS(train(*twin, data, kKeys, config, {}, prefix.get()), ConfigError);
  unfreeze(*net, "conv2");
  CHECK_THROWS_AS(train(*net, data, kKeys, config, {}, prefix.get()), ConfigError);
}

TEST_CASE("cache: a full disk is an error, and leaves the cache usable") {
  const io::Dataset data = toy::images(40, 1);
  auto net = toy::study_cnn(3);
  freeze_first(*net, 1);
  PrefixCache cache({.memory_limit = 1, .folder = "/proc/nowhere"});
  CHECK_THROWS_AS(cache.get(*net, 1, data, {}), Error);
  CHECK_THROWS_AS(cache.get(*net, 1, data, {}), Error);
  CHECK(cache.stats().disk == 0);
}

TEST_CASE("cache: cells side by side compute once") {
  const io::Dataset data = toy::images(60, 1);
  PrefixCache cache({});
  std::shared_ptr<const Activations> got[4];
  std::vector<std::thread> threads;
  for (auto& g : got)
    threads.emplace_back([&] {
      auto net = toy::study_cnn(3);
      freeze_first(*net, 3);
      g = cache.get(*net, 3, data, {});
    });
  for (auto& t : threads) t.join();
  for (auto& g : got) CHECK(g == got[0]);
  CHECK(cache.stats().computed == 1);
  CHECK(cache.stats().reused == 3);
}
