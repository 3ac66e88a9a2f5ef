// Public weights through the loader and the evaluator, against reference values measured with PyTorch on the same files.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "io/datasets/dataset.h"
#include "io/weights/weights.h"
#include "nn/models/models.h"
#include "tests/harness/skip.h"
#include "transfer/evaluate.h"
#include "transfer/load.h"

using namespace graft;
using namespace graft::transfer;

namespace {

struct Published {
  const char *name, *hash;
  int64_t lossless;  // correct of cifar10-test5000
  double jpeg;       // accuracy on the 10,000 test images of cifar10-jpeg
};
constexpr Published kResNets[] = {{"resnet20", "12fca82f", 4578, 0.8103},
                                  {"resnet32", "d509ac18", 4610, 0.8256},
                                  {"resnet44", "014dd654", 4638, 0.8267},
                                  {"resnet56", "4bfd9763", 4643, 0.8320}};

const EvaluateOptions kOptions{.batch = 100,
                               .preprocessing = {.normalization = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}, .augment = {}}};

nn::NamedTensors weights(const Published& p) {
  return io::load_weights(harness::data_path(fmt::format("resnet-cifar10/{}-{}.th", p.name, p.hash)));
}

void check_lossless(nn::Chain& net, const Published& p) {
  const Evaluation e = evaluate(net, io::load_dataset("cifar10-test5000").test, kOptions);
  MESSAGE(std::string(p.name) << " cifar10-test5000: " << e.correct << " of " << e.items << ", reference " << p.lossless);
  CHECK(e.items == 5000);
  CHECK(std::abs(e.correct - p.lossless) <= 2);
}

void check_jpeg(nn::Chain& net, const Published& p) {
  const Evaluation e = evaluate(net, io::load_dataset("cifar10-jpeg").test, kOptions);
  MESSAGE(std::string(p.name) << " cifar10-jpeg: " << e.accuracy << ", reference " << p.jpeg);
  CHECK(e.items == 10000);
  CHECK(std::fabs(e.accuracy - p.jpeg) <= 0.003);  // JPEG decoders differ by up to 3 grey levels
}

}  // namespace

TEST_CASE("published ResNet-20: loads as it is, and classifies lossless and JPEG images as the reference") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  if (!std::getenv("GRAFT_FULL")) return harness::not_run("twenty minutes under a sanitizer; set GRAFT_FULL=1");
#endif
  const Published& p = kResNets[0];
  GRAFT_REQUIRE_DATA("resnet-cifar10/resnet20-12fca82f.th");
  GRAFT_REQUIRE_DATA("cifar10/cifar10-test5000-png.tar.gz");
  GRAFT_REQUIRE_DATA("cifar10/cifar10-jpeg.tar.gz");
  auto net = nn::make_model({p.name, {32, 32, 3}, 10});
  const LoadReport report = load(*net, weights(p));
  CHECK(report.count(LoadAction::transformed) == 19);  // all filters; the one linear layer reads pooled features
  CHECK(report.count(LoadAction::fresh) == 0);
  check_lossless(*net, p);
  check_jpeg(*net, p);

  // Blue, green, red instead of red, green, blue must show.
  io::Dataset swapped = io::load_dataset("cifar10-test5000").test;
  swapped.images = swapped.images.clone();
  uint8_t* v = swapped.images.data<uint8_t>();
  for (int64_t i = 0; i < swapped.images.numel(); i += 3) std::swap(v[i], v[i + 2]);
  CHECK(evaluate(*net, swapped, kOptions).correct < p.lossless - 100);

  // Another classifier: only on request.
  auto other = nn::make_model({p.name, {32, 32, 3}, 7});
  CHECK_THROWS_WITH_AS(load(*other, weights(p)), doctest::Contains("linear.weight: expected [7, 64], got [10, 64]"), LoadError);
}

TEST_CASE("published ResNet-32, 44 and 56: lossless and JPEG images (on request: GRAFT_FULL)") {
  if (!std::getenv("GRAFT_FULL")) return harness::not_run("minutes of computing; set GRAFT_FULL=1");
  GRAFT_REQUIRE_DATA("resnet-cifar10/resnet56-4bfd9763.th");
  GRAFT_REQUIRE_DATA("cifar10/cifar10-test5000-png.tar.gz");
  GRAFT_REQUIRE_DATA("cifar10/cifar10-jpeg.tar.gz");
  for (int i : {1, 2, 3}) {
    auto net = nn::make_model({kResNets[i].name, {32, 32, 3}, 10});
    load(*net, weights(kResNets[i]));
    check_lossless(*net, kResNets[i]);
    check_jpeg(*net, kResNets[i]);
  }
}
