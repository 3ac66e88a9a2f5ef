// A study small enough to run dozens of times: the MLP on synthetic 6x6 images of six classes.
#pragma once
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include "kernels/common/philox.h"
#include "transfer/study/results.h"
#include "transfer/study/runner.h"

namespace graft::study {

// A folder of this test alone, gone at its end.
struct TempFolder {
  std::filesystem::path path;
  TempFolder() {
    static int count = 0;
    path = std::filesystem::temp_directory_path() / ("graft-study-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    std::filesystem::remove_all(path);
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
};

// Class k is bright in its own part of the image, under noise.
inline io::Dataset synthetic(const std::string& name, int64_t classes, int64_t per_class, int64_t side, uint64_t key) {
  const int64_t n = classes * per_class, pixels = side * side;
  Tensor images = Tensor::empty({n, side, side, 1}, DType::u8), labels = Tensor::empty({n}, DType::i64);
  const Philox noise{key, 0};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t k = i % classes;
    labels.data<int64_t>()[i] = k;
    for (int64_t p = 0; p < pixels; ++p)
      images.data<uint8_t>()[i * pixels + p] =
          uint8_t(150 * noise.uniform(uint64_t(i * pixels + p)) + (p * classes / pixels == k ? 80 : 0));
  }
  std::vector<std::string> names;
  for (int64_t k = 0; k < classes; ++k) names.push_back("class" + std::to_string(k));
  return io::make_dataset(name, images, labels, names, name);
}

inline io::Splits synthetic_provider(const std::string& name) {
  if (name == "tiny") return {synthetic(name, 6, 20, 6, 1), synthetic(name, 6, 10, 6, 2)};
  if (name == "other") return {synthetic(name, 4, 25, 5, 3), synthetic(name, 4, 5, 5, 4)};
  throw ConfigError("no data set '" + name + "'");
}

inline constexpr const char* kTinyStudy = R"(
name = "tiny"
[model]
name = "mlp"
[data]
name = "tiny"
images_per_class = 16
[train]
epochs = 2
batch = 10
lr = 0.05
[grid]
conditions = ["base", "base2x", "BnB", "BnB+", "AnB", "AnB+", "RnB"]
seeds = 2
target_images_per_class = [5]
[[split]]
name = "random"
[[split]]
name = "listed"
kind = "listed"
conditions = ["AnB"]
a = ["class0", "class1"]
b = ["class2", "class3", "class5"]
[[split]]
name = "other"
kind = "source"
source = "other"
conditions = ["AnB"]
[[criterion]]
name = "specificity"
value = "specificity"
cuts = [2]
at_least = -100
seeds = 2
)";

inline RunOptions tiny_options(const std::filesystem::path& out) {
  RunOptions o;
  o.out = out;
  o.jobs = 1;
  o.calibration_steps = 0;
  o.provider = synthetic_provider;
  return o;
}

// Everything that must not depend on how a study was run: the rows without times, and the hashes of the weights.
inline std::string numbers(const std::filesystem::path& out) {
  std::vector<Row> rows = Store(out, Store::Mode::read).rows();
  std::string hashes;
  for (Row& r : rows) {
    r.result.seconds = 0;
    hashes += r.key + " " + r.result.weights_hash + "\n";
  }
  return to_csv(rows) + hashes;
}

}  // namespace graft::study
