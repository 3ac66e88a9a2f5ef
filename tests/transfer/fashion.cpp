// The parts together on real images: two base networks on Fashion-MNIST halves, and a graft between them.
#include <doctest/doctest.h>

#include "io/datasets/catalog.h"
#include "io/datasets/dataset.h"
#include "nn/init.h"
#include "nn/models/models.h"
#include "tests/harness/skip.h"
#include "transfer/cache.h"
#include "transfer/evaluate.h"
#include "transfer/freeze.h"
#include "transfer/graft.h"
#include "transfer/train.h"

using namespace graft;
using namespace graft::transfer;

TEST_CASE("Fashion-MNIST: bases learn, a frozen graft trains from the cache with the bits of a training without") {
  if (io::locate(io::find_entry("fashion-mnist")).empty()) return harness::not_run("no data set fashion-mnist");
  const io::Splits all = io::load_dataset("fashion-mnist");
  const int64_t halves[2][5] = {{0, 2, 4, 6, 8}, {1, 3, 5, 7, 9}};
  TrainConfig config;
  config.epochs = 5;
  config.preprocessing.normalization = {{0.286}, {0.353}};
  const EvaluateOptions options{.preprocessing = config.preprocessing};
  io::Dataset train_set[2], test_set[2];
  std::unique_ptr<nn::Chain> base[2];
  const auto fresh = [&](int half) {
    auto net = nn::make_model({"study_cnn", {28, 28, 1}, 5});
    nn::initialize(*net, nn::Init::he_normal, uint64_t(half) + 11);
    return net;
  };
  for (int h : {0, 1}) {
    train_set[h] = io::first_per_class(io::select_classes(all.train, halves[h]), 300);
    test_set[h] = io::first_per_class(io::select_classes(all.test, halves[h]), 100);
    base[h] = fresh(h);
    const TrainResult r = train(*base[h], train_set[h], {1, 2}, config);
    const Evaluation e = evaluate(*base[h], test_set[h], options);
    MESSAGE("base " << h << ": " << e.accuracy << ", " << r.images_per_second << " images/s");
    CHECK(e.accuracy > 0.6);
  }
  PrefixCache cache({});
  for (int64_t cut : {2, 6}) {
    const auto make = [&] {
      auto net = fresh(1);
      graft::transfer::graft(*base[0], *net, {.cut = cut});
      return net;
    };
    auto plain = make(), cached = make();
    const TrainResult a = train(*plain, train_set[1], {3, 4}, config);
    const auto prefix = cache.get(*cached, cut, train_set[1], config.preprocessing);
    const TrainResult b = train(*cached, train_set[1], {3, 4}, config, {}, prefix.get());
    MESSAGE("cut " << cut << ": " << evaluate(*plain, test_set[1], options).accuracy << ", " << a.seconds << " s without and "
                   << b.seconds << " s with the cache");
    CHECK(a.losses == b.losses);
    CHECK(hash_weights(*plain) == hash_weights(*cached));
    CHECK(a.proof.frozen == 2 * cut);
    CHECK(a.proof.trained == 2 * (7 - cut));
    CHECK(hash_weights(plain->block(0)) == hash_weights(base[0]->block(0)));
  }
}
