// The loader: order, normalisation, augmentation, and the same batches with any number of workers.
#include "io/datasets/loader.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tests/io/helpers.h"

using namespace graft;
using namespace graft::io;
using namespace graft::io::test;

namespace {

Dataset textured(int64_t n, Shape hwc) {
  Tensor images = Tensor::empty({n, hwc[0], hwc[1], hwc[2]}, DType::u8), labels = Tensor::empty({n}, DType::i64);
  for (int64_t i = 0; i < images.numel(); ++i) images.data<uint8_t>()[i] = uint8_t((i * 37 + i / 11) % 251);
  for (int64_t i = 0; i < n; ++i) labels.data<int64_t>()[i] = i % 3;
  return make_dataset("textured", images, labels, {"a", "b", "c"}, "test");
}

bool equal(const Batch& a, const Batch& b) {
  const auto xa = a.x.span<float>(), xb = b.x.span<float>();
  return a.items == b.items && a.epoch == b.epoch && a.index == b.index && a.x.shape() == b.x.shape() &&
         a.labels.to_vector<int64_t>() == b.labels.to_vector<int64_t>() && std::memcmp(xa.data(), xb.data(), xa.size_bytes()) == 0;
}

std::vector<float> one_item(const Augment& a, const std::vector<uint8_t>& image, Shape hwc, uint64_t epoch, uint64_t item) {
  std::vector<uint8_t> scratch;
  std::vector<float> out(size_t(augmented_shape(a, hwc).numel()));
  augment_item(a, image.data(), hwc, Normalization{}.table(hwc[2]), 1, epoch, item, scratch, out.data());
  return out;
}

}  // namespace

TEST_CASE("loader: 0, 1 and 3 workers give the same batches bit for bit, also after a seek") {
  const Dataset ds = textured(47, {9, 8, 3});
  LoaderOptions options{
      .batch_size = 10,
      .key = 12,
      .normalization = {{.4, .5, .6}, {.2, .3, .4}},
      .augment = {.resize_height = 11, .resize_width = 7, .min_area = .5, .pad_crop = 2, .flip = .5, .cutout = 3}};
  Loader inline_loader(ds, options);
  std::vector<Batch> expected;
  for (int i = 0; i < 15; ++i) expected.push_back(inline_loader.next());
  CHECK(expected[4].x.shape() == Shape{7, 11, 7, 3});
  CHECK(expected[5].epoch == 1);
  for (int workers : {1, 3})
    for (int64_t prefetch : {1, 4}) {
      options.workers = workers;
      options.prefetch = prefetch;
      Loader loader(ds, options);
      for (const Batch& e : expected) CHECK(equal(loader.next(), e));
      loader.seek(3);
      for (int i = 3; i < 9; ++i) CHECK(equal(loader.next(), expected[size_t(i)]));
      CHECK(equal(loader.batch(2), expected[2]));
    }
}

TEST_CASE("loader: each epoch is another permutation of all items; another key, another order") {
  const Dataset ds = textured(50, {2, 2, 1});
  Loader loader(ds, {.batch_size = 7, .key = 3});
  std::vector<std::vector<int64_t>> epochs;
  for (int e = 0; e < 3; ++e) {
    std::vector<int64_t> seen;
    for (int64_t b = 0; b < loader.batches_per_epoch(); ++b) {
      const Batch batch = loader.next();
      seen.insert(seen.end(), batch.items.begin(), batch.items.end());
    }
    CHECK(seen == loader.order(e));
    std::sort(seen.begin(), seen.end());
    std::vector<int64_t> all(50);
    std::iota(all.begin(), all.end(), int64_t{0});
    CHECK(seen == all);
    epochs.push_back(loader.order(e));
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[1] != epochs[2]);
  CHECK(epochs[0] != Loader(ds, {.key = 4}).order(0));
}

TEST_CASE("loader: without shuffling it is data set order; partial batches kept or dropped") {
  const Dataset ds = textured(10, {2, 2, 1});
  Loader keep(ds, {.batch_size = 4, .shuffle = false});
  CHECK(keep.batches_per_epoch() == 3);
  CHECK(keep.next().items == std::vector<int64_t>{0, 1, 2, 3});
  keep.next();
  CHECK(keep.next().items == std::vector<int64_t>{8, 9});
  Loader drop(ds, {.batch_size = 4, .shuffle = false, .last_batch = LastBatch::drop});
  CHECK(drop.batches_per_epoch() == 2);
  CHECK_THROWS_AS(Loader(ds, {.batch_size = 11, .last_batch = LastBatch::drop}), ConfigError);
}

TEST_CASE("loader: normalises to (x / 255 - mean) / stddev") {
  const Dataset ds = textured(4, {3, 3, 2});
  Loader loader(ds, {.batch_size = 4, .shuffle = false, .normalization = {{.3, .6}, {.5, .25}}});
  CHECK(!loader.random());
  const Batch batch = loader.next();
  for (int64_t i = 0; i < batch.x.numel(); ++i) {
    const double v = ds.images.data<uint8_t>()[i] / 255.0;
    CHECK(batch.x.data<float>()[i] == float(i % 2 == 0 ? (v - .3) / .5 : (v - .6) / .25));
  }
  CHECK_THROWS_AS(Loader(ds, {.normalization = {{.3}, {.5}}}), ConfigError);
  CHECK_THROWS_AS(Loader(ds, {.normalization = {{.3, .3}, {.5, 0}}}), ConfigError);
}

TEST_CASE("loader: a fault in a worker reaches the caller, again and again, and the loader closes cleanly") {
  Dataset broken = textured(9, {2, 2, 1});
  broken.labels = broken.labels.to(DType::f32);  // past make_dataset
  for (int workers : {0, 1, 3}) {
    Loader loader(broken, {.batch_size = 2, .workers = workers});
    CHECK_THROWS_AS(loader.next(), DtypeError);
    CHECK_THROWS_AS(loader.next(), DtypeError);
  }
}

TEST_CASE("loader: closes while workers are busy or waiting") {
  const Dataset ds = textured(400, {16, 16, 3});
  for (int i = 0; i < 20; ++i) {
    Loader loader(ds, {.batch_size = 100, .augment = {.pad_crop = 2}, .workers = 3, .prefetch = 1 + i % 4});
    for (int k = 0; k < i % 3; ++k) loader.next();
    if (i % 5 == 0) loader.seek(7);
  }
}

TEST_CASE("augment: which options are random") {
  CHECK(!Augment{}.random());
  CHECK(!Augment{.resize_height = 4, .resize_width = 4}.random());
  CHECK(Augment{.min_area = .9}.random());
  CHECK(Augment{.pad_crop = 1}.random());
  CHECK(Augment{.flip = .5}.random());
  CHECK(Augment{.cutout = 1}.random());
  CHECK_THROWS_AS(validate({.flip = 1.5}), ConfigError);
  CHECK_THROWS_AS(validate({.min_area = 0}), ConfigError);
  CHECK_THROWS_AS(validate({.resize_height = 3}), ConfigError);
}

TEST_CASE("augment: flip mirrors, with its probability") {
  const std::vector<uint8_t> image = {0, 51, 102, 153, 204, 255};
  const Shape hwc{1, 3, 2};
  CHECK(one_item({.flip = 1}, image, hwc, 0, 0) == std::vector<float>{.8f, 1.f, .4f, .6f, 0.f, .2f});
  int flipped = 0;
  for (uint64_t i = 0; i < 1000; ++i) flipped += one_item({.flip = .5}, image, hwc, 3, i)[0] == .8f;
  CHECK(std::abs(flipped - 500) < 80);  // five deviations of 15.8
}

TEST_CASE("augment: pad-crop shifts by each offset about equally often, black outside") {
  std::vector<uint8_t> image(25, 0);
  image[12] = 255;  // the centre
  std::vector<int> times(25, 0);
  for (uint64_t i = 0; i < 2500; ++i) {
    const auto out = one_item({.pad_crop = 2}, image, {5, 5, 1}, 0, i);
    REQUIRE(std::accumulate(out.begin(), out.end(), 0.0f) == 1.0f);
    ++times[size_t(std::max_element(out.begin(), out.end()) - out.begin())];
  }
  for (int t : times) CHECK(std::abs(t - 100) < 50);  // five deviations of 9.8
}

TEST_CASE("augment: cut-out zeroes one square, clipped at the border") {
  const std::vector<uint8_t> image(64, 255);
  std::set<int> areas;
  for (uint64_t i = 0; i < 200; ++i) {
    const auto out = one_item({.cutout = 4}, image, {8, 8, 1}, 0, i);
    areas.insert(int(std::count(out.begin(), out.end(), 0.0f)));
  }
  CHECK(*areas.rbegin() == 16);
  CHECK(*areas.begin() >= 4);
}

TEST_CASE("augment: the draw depends on epoch and item, nothing else") {
  std::vector<uint8_t> image(300);
  for (size_t i = 0; i < image.size(); ++i) image[i] = uint8_t(i);
  const Augment a{.min_area = .3, .pad_crop = 2, .flip = .5, .cutout = 2};
  const Shape hwc{10, 10, 3};
  CHECK(one_item(a, image, hwc, 5, 9) == one_item(a, image, hwc, 5, 9));
  CHECK(one_item(a, image, hwc, 5, 9) != one_item(a, image, hwc, 6, 9));
  CHECK(one_item(a, image, hwc, 5, 9) != one_item(a, image, hwc, 5, 10));
}
