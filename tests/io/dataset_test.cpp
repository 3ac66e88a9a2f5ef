// Data sets: the helpers on small made sets, folders and archives, and the real ones.
#include "io/datasets/dataset.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <set>

#include "io/datasets/catalog.h"
#include "io/datasets/image_folder.h"
#include "tests/harness/skip.h"
#include "tests/io/helpers.h"
#include "tests/io/make_files.h"

using namespace graft;
using namespace graft::io;
using namespace graft::io::test;

namespace {

// n items of h x w x c; label i % classes; pixel value i.
Dataset numbered(int64_t n, int64_t classes, Shape hwc = {2, 2, 1}) {
  Tensor images = Tensor::empty({n, hwc[0], hwc[1], hwc[2]}, DType::u8), labels = Tensor::empty({n}, DType::i64);
  for (int64_t i = 0; i < n; ++i) {
    std::fill_n(images.data<uint8_t>() + i * hwc.numel(), hwc.numel(), uint8_t(i));
    labels.data<int64_t>()[i] = i % classes;
  }
  std::vector<std::string> names;
  for (int64_t c = 0; c < classes; ++c) names.push_back(fmt::format("c{}", c));
  return make_dataset("numbered", images, labels, names, "test");
}

std::vector<int64_t> first_pixels(const Dataset& ds) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < ds.size(); ++i) out.push_back(*ds.images.rows(i, i + 1).data<uint8_t>());
  return out;
}

std::vector<std::pair<std::string, Bytes>> folder_members() {
  return {{"set/train/dog/1.png", make_png(pattern(4, 4, 3, 1))},
          {"set/train/cat/2.png", make_png(pattern(4, 4, 3, 2))},
          {"set/test/cat/3.bmp", make_bmp(pattern(4, 4, 3, 3))},
          {"set/test/dog/4.png", make_png(pattern(4, 4, 3, 4))},
          {"set/LICENSE.txt", to_bytes("free")},
          {"set/test/dog/._4.png", to_bytes("fork")}};
}

}  // namespace

TEST_CASE("make_dataset: parts that do not fit are refused in one line") {
  const Tensor images = Tensor::zeros({3, 2, 2, 1}, DType::u8);
  const auto with = [&](Tensor labels, std::vector<std::string> classes) {
    return message_of<LoadError>([&] { make_dataset("d", images, labels, classes, "f"); });
  };
  CHECK(with(Tensor::from<uint8_t>({0, 1}, {2}), {"a", "b"}) == "f: 3 images, but 2 labels");
  CHECK(with(Tensor::from<uint8_t>({0, 1, 2}, {3}), {"a", "b"}) == "f: item 2: label 2 of 2 classes");
  CHECK(with(Tensor::from<int64_t>({0, -1, 1}, {3}), {"a", "b"}) == "f: item 1: label -1 of 2 classes");
  CHECK(with(Tensor::from<float>({0, 1, 1}, {3}), {"a"}) == "f: labels: expected one row, got f32 [3]");
  CHECK(make_dataset("d", Tensor::zeros({3, 2, 2}, DType::u8), Tensor::zeros({3}, DType::u8), {"a"}, "f").images.shape() ==
        Shape{3, 2, 2, 1});
}

TEST_CASE("dataset: the hash sees images, labels and shape") {
  const Dataset a = numbered(8, 2);
  CHECK(a.hash == numbered(8, 2).hash);
  CHECK(a.hash != numbered(8, 4).hash);
  CHECK(a.hash != numbered(8, 2, {4, 1, 1}).hash);
  Tensor changed = a.images.clone();
  changed.data<uint8_t>()[5] ^= 1;
  CHECK(a.hash != make_dataset(a.name, changed, a.labels, a.classes, "f").hash);
}

TEST_CASE("select_classes: relabels in the order given") {
  const Dataset ds = select_classes(numbered(12, 4), std::vector<int64_t>{3, 1});
  CHECK(ds.classes == std::vector<std::string>{"c3", "c1"});
  CHECK(first_pixels(ds) == std::vector<int64_t>{1, 3, 5, 7, 9, 11});
  CHECK(ds.labels.to_vector<int64_t>() == std::vector<int64_t>{1, 0, 1, 0, 1, 0});
  CHECK(message_of<ConfigError>([] {
          select_classes(numbered(4, 2), std::vector<int64_t>{0, 0});
        }) == "numbered: class 0 is listed twice");
  CHECK(message_of<ConfigError>([] { select_classes(numbered(4, 2), std::vector<int64_t>{2}); }) == "numbered: class 2 of 2");
}

TEST_CASE("first_per_class and sample_per_class") {
  const Dataset ds = numbered(60, 3);
  CHECK(first_pixels(first_per_class(ds, 2)) == std::vector<int64_t>{0, 1, 2, 3, 4, 5});
  const Dataset ten = sample_per_class(ds, 10, 5), four = sample_per_class(ds, 4, 5);
  CHECK(ten.class_counts() == std::vector<int64_t>{10, 10, 10});
  const auto all = first_pixels(ten), few = first_pixels(four);
  CHECK(std::set<int64_t>(all.begin(), all.end()).size() == 30);
  CHECK(std::includes(all.begin(), all.end(), few.begin(), few.end()));  // both in data set order
  CHECK(ten.hash == sample_per_class(ds, 10, 5).hash);
  CHECK(ten.hash != sample_per_class(ds, 10, 6).hash);
  CHECK(sample_per_class(ds, 20, 1).hash == ds.hash);
  CHECK(message_of<ConfigError>([&] { first_per_class(ds, 21); }) == "numbered: class c0: expected at least 21 images, got 20");
}

TEST_CASE("sample_per_class: every item is drawn about equally often") {
  const Dataset ds = numbered(20, 1);
  std::vector<int> times(20, 0);
  constexpr int kDraws = 2000;
  for (int key = 0; key < kDraws; ++key)
    for (int64_t i : first_pixels(sample_per_class(ds, 5, uint64_t(key)))) ++times[size_t(i)];
  // Binomial(2000, 1/4): mean 500, deviation 19.4; five deviations.
  for (int t : times) CHECK(std::abs(t - 500) < 97);
}

TEST_CASE("to_channels and pad_to") {
  const Dataset ds = numbered(3, 3, {2, 3, 1});
  const Dataset rgb = to_channels(ds, 3);
  CHECK(rgb.images.shape() == Shape{3, 2, 3, 3});
  CHECK(first_pixels(rgb) == first_pixels(ds));
  CHECK(rgb.images.data<uint8_t>()[rgb.images.numel() - 1] == 2);
  CHECK_THROWS_AS(to_channels(rgb, 1), ConfigError);
  const Dataset padded = pad_to(ds, 5, 6);  // one row above, two below; one column left, two right
  CHECK(padded.images.shape() == Shape{3, 5, 6, 1});
  const uint8_t* last = padded.images.data<uint8_t>() + 2 * 30;
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 6; ++x) CHECK(last[y * 6 + x] == (y >= 1 && y < 3 && x >= 1 && x < 4 ? 2 : 0));
  CHECK_THROWS_AS(pad_to(ds, 1, 6), ConfigError);
}

TEST_CASE("channel_statistics: of pixels / 255") {
  const Dataset ds =
      make_dataset("d", Tensor::from<uint8_t>({0, 255, 255, 255}, {2, 1, 1, 2}), Tensor::zeros({2}, DType::u8), {"a"}, "f");
  const ChannelStatistics s = channel_statistics(ds);
  CHECK(s.mean == std::vector<double>{0.5, 1.0});
  CHECK(s.stddev == std::vector<double>{0.5, 0.0});
}

TEST_CASE("load_images: the same from a folder and from archives, classes alphabetical, splits apart") {
  const TemporaryFolder folder;
  for (const auto& [name, bytes] : folder_members()) folder.write(name, bytes);
  const Dataset test = load_images(folder.path(), {.split = "test"});
  CHECK(test.classes == std::vector<std::string>{"cat", "dog"});
  CHECK(test.labels.to_vector<int64_t>() == std::vector<int64_t>{0, 1});
  CHECK(first_pixels(test) == std::vector<int64_t>{33, 44});
  for (Packing p : {Packing::tar, Packing::tar_gz, Packing::tar_xz, Packing::zip}) {
    const auto path = folder.write("packed", pack(folder_members(), p));
    CHECK(load_images(path, {.split = "test"}).hash == test.hash);
    CHECK(load_test_data(path.string()).hash == test.hash);
    CHECK(contains(message_of<LoadError>([&] { load_images(path); }), "several sets of classes: choose one of test, train"));
    CHECK(contains(message_of<LoadError>([&] { load_images(path, {.split = "val"}); }), "no folder 'val': it has test, train"));
  }
  CHECK(load_images(folder.path() / "set" / "train").size() == 2);
  CHECK(contains(message_of<LoadError>([&] { load_images(folder.path() / "set" / "train" / "dog"); }), "no images"));
}

TEST_CASE("load_images: sizes must agree unless one is asked for; damage is named") {
  const TemporaryFolder folder;
  folder.write("a/1.png", make_png(pattern(4, 4, 3)));
  folder.write("b/2.png", make_png(pattern(6, 8, 3)));
  CHECK(
      contains(message_of<LoadError>([&] { load_images(folder.path()); }), "b/2.png: expected 4x4 pixels as in a/1.png, got 6x8"));
  CHECK(load_images(folder.path(), {.size = 5}).images.shape() == Shape{2, 5, 5, 3});
  CHECK(load_images(folder.path(), {.size = 5, .channels = 1}).images.shape() == Shape{2, 5, 5, 1});
  Bytes cut = make_png(pattern(4, 4, 3));
  cut.resize(cut.size() - 20);
  folder.write("b/2.png", cut);
  CHECK(contains(message_of<LoadError>([&] { load_images(folder.path()); }), "b/2.png: PNG: truncated"));
}

TEST_CASE("catalog: a name is looked for in GRAFT_DATA first; a wrong file there is refused") {
  CHECK(contains(message_of<ConfigError>([] { load_dataset("fashion-minst"); }), "did you mean 'fashion-mnist'"));
  CHECK(contains(message_of<ConfigError>([] { load_test_data("cifar10-jpg"); }), "did you mean 'cifar10-jpeg'"));
  CHECK(contains(message_of<LoadError>([] { load_test_data("none/there"); }), "no such folder or archive"));
  std::set<std::string> names;
  for (const CatalogEntry& e : catalog()) {
    CHECK(names.insert(e.name).second);
    CHECK(!e.source.empty());
    CHECK(!e.licence.empty());
    CHECK(!e.how_to_get.empty());
    CHECK(e.files.size() == (e.format == DataFormat::idx ? 4u : 1u));
    for (const CatalogFile& f : e.files) CHECK((f.sha256.empty() || f.sha256.size() == 64));
  }
  CHECK(!find_entry("cifar10").verified());
  CHECK(find_entry("cifar10-jpeg").verified());
  CHECK(contains(catalog_table(), "not verified"));
  CHECK(contains(catalog_json(), "\"name\": \"cifar10-jpeg\""));

  const TemporaryFolder folder;
  const std::string before = std::getenv("GRAFT_DATA") ? std::getenv("GRAFT_DATA") : "";
  setenv("GRAFT_DATA", folder.path().c_str(), 1);
  const auto path = folder.write("cifar10/cifar10-test5000-png.tar.gz", to_bytes("something else"));
  CHECK(message_of<LoadError>([] { load_dataset("cifar10-test5000"); }) ==
        path.string() + ": not the file of the catalog: expected 11207414 bytes, got 14");
  folder.write(
      "cifar10/cifar-10-binary.tar.gz",
      pack({{"x/data_batch_1.bin", Bytes(3073)}, {"x/test_batch.bin", Bytes(3073)}, {"x/batches.meta.txt", to_bytes("a\nb\n")}},
           Packing::tar_gz));
  CHECK(contains(message_of<LoadError>([] { load_dataset("cifar10"); }), "cifar10: expected 50000 training images, got 1"));
  if (before.empty()) unsetenv("GRAFT_DATA");
  else setenv("GRAFT_DATA", before.c_str(), 1);
}

namespace {
void check_counts(const Dataset& ds, int64_t per_class, Shape hwc) {
  CHECK(ds.class_counts() == std::vector<int64_t>(ds.classes.size(), per_class));
  CHECK(ds.images.shape() == Shape{per_class * int64_t(ds.classes.size()), hwc[0], hwc[1], hwc[2]});
}
}  // namespace

TEST_CASE("fashion-mnist: 6,000 and 1,000 a class; the published mean and deviation") {
  if (locate(find_entry("fashion-mnist")).empty()) return harness::not_run("fashion-mnist: apt-get install dataset-fashion-mnist");
  const Splits s = load_dataset("fashion-mnist");
  check_counts(s.train, 6000, {28, 28, 1});
  check_counts(s.test, 1000, {28, 28, 1});
  CHECK(s.train.labels.data<int64_t>()[0] == 9);  // the first training image is an ankle boot
  CHECK(s.train.classes[9] == "Ankle boot");
  const ChannelStatistics stats = channel_statistics(s.train);
  CHECK(stats.mean[0] == doctest::Approx(0.2860).epsilon(1e-3));
  CHECK(stats.stddev[0] == doctest::Approx(0.3530).epsilon(1e-3));
}

TEST_CASE("mnist20k and usps load") {
  GRAFT_REQUIRE_DATA("digits/mnist-train20k-images-idx3-ubyte.gz");
  const Splits mnist = load_dataset("mnist20k"), usps = load_dataset("usps");
  CHECK(mnist.train.size() == 20000);
  CHECK(mnist.train.labels.data<int64_t>()[0] == 5);
  CHECK(usps.train.images.shape() == Shape{7291, 16, 16, 1});
  CHECK(usps.test.size() == 2007);
}

TEST_CASE("cifar10-jpeg: 5,000 and 1,000 a class, the same bits on one thread") {
  GRAFT_REQUIRE_DATA("cifar10/cifar10-jpeg.tar.gz");
  const auto start = std::chrono::steady_clock::now();
  const Splits s = load_dataset("cifar10-jpeg");
  MESSAGE("loaded in " << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() << " s");
  check_counts(s.train, 5000, {32, 32, 3});
  check_counts(s.test, 1000, {32, 32, 3});
  CHECK(s.train.classes ==
        std::vector<std::string>{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
  Context one(1);
  const ContextScope scope(one);
  CHECK(load_test_data(locate(find_entry("cifar10-jpeg"))[0].string(), {.channels = 3}).hash == s.test.hash);
}

TEST_CASE("cifar10-test5000: 500 a class, no training images") {
  GRAFT_REQUIRE_DATA("cifar10/cifar10-test5000-png.tar.gz");
  const Splits s = load_dataset("cifar10-test5000");
  CHECK(s.train.size() == 0);
  check_counts(s.test, 500, {32, 32, 3});
}

TEST_CASE("cifar100-10class and clothing10 load") {
  GRAFT_REQUIRE_DATA("vision2/cifar100-10class-png.tar.gz");
  GRAFT_REQUIRE_DATA("vision2/clothing10-jpeg.tar.gz");
  const Splits cifar = load_dataset("cifar100-10class"), clothes = load_dataset("clothing10");
  check_counts(cifar.train, 150, {32, 32, 3});
  check_counts(cifar.test, 50, {32, 32, 3});
  CHECK(clothes.train.images.shape() == Shape{360, 224, 224, 3});
  CHECK(clothes.test.size() == 140);
}
