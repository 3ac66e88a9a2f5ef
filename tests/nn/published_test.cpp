// The published ResNets of akamaster/pytorch_resnet_cifar10 classify the lossless CIFAR-10 images as PyTorch does. A wrong
// layout, channel order, shortcut or normalisation cannot pass.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "tests/harness/skip.h"
#include "io/datasets/dataset.h"
#include "io/weights/weights.h"
#include "nn_test.h"
#include "tensor/autograd.h"
#include "tensor/ops/view.h"

using namespace graft;
using namespace graft::nn;

namespace {

// The file's names begin with "module.", its filters are [out, in, h, w].
void load_published(Chain& net, const std::string& path) {
  std::map<std::string, Tensor> file;
  for (auto& [name, t] : io::load_weights(path)) file[name.substr(std::string("module.").size())] = t;
  NamedTensors mine = net.named_parameters();
  for (auto& b : net.named_buffers()) mine.push_back(b);
  CHECK(file.size() == mine.size());
  for (auto& [name, t] : mine) {
    CAPTURE(name);
    REQUIRE(file.contains(name));
    t.copy_from(t.rank() == 4 ? permute(file[name], {0, 2, 3, 1}) : file[name]);
  }
}

Tensor normalized(const Tensor& images) {
  constexpr float kMean[] = {0.485f, 0.456f, 0.406f}, kStd[] = {0.229f, 0.224f, 0.225f};
  const Tensor x = images.to(DType::f32);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = (x.data<float>()[i] / 255 - kMean[i % 3]) / kStd[i % 3];
  return x;
}

// Of the images 0, stride, 2 stride, ...
int64_t count_correct(Chain& net, const io::Dataset& data, int64_t stride) {
  constexpr int64_t kBatch = 100;
  std::vector<int64_t> items;
  for (int64_t i = 0; i < data.size(); i += stride) items.push_back(i);
  const io::Dataset chosen = io::select_items(data, items);
  int64_t correct = 0;
  for (int64_t begin = 0; begin < chosen.size(); begin += kBatch) {
    const int64_t end = std::min(begin + kBatch, chosen.size());
    const Tensor logits = net.forward(normalized(chosen.images.rows(begin, end)));
    for (int64_t i = begin; i < end; ++i) {
      const auto row = logits.rows(i - begin, i - begin + 1).span<float>();
      correct += std::max_element(row.begin(), row.end()) - row.begin() == chosen.labels.data<int64_t>()[i];
    }
  }
  return correct;
}

std::unique_ptr<Chain> published(const std::string& name, const std::string& hash) {
  auto net = make_model({name, {32, 32, 3}, 10});
  load_published(*net, harness::data_path(fmt::format("resnet-cifar10/{}-{}.th", name, hash)).string());
  net->train(false);
  return net;
}

}  // namespace

TEST_CASE("published ResNet-20: logits of the first image, and the count on 5,000 lossless images") {
  GRAFT_REQUIRE_DATA("cifar10/cifar10-test5000-png.tar.gz");
  GRAFT_REQUIRE_DATA("resnet-cifar10/resnet20-12fca82f.th");
  NoGrad no_grad;
  const io::Dataset data = io::load_dataset("cifar10-test5000").test;
  auto net = published("resnet20", "12fca82f");
  const double logits[] = {15.8632, 3.4659, 1.4518, -4.8397, 5.1785, -8.9961, -9.2712, -4.5694, 4.3293, -2.6788};
  const auto mine = net->forward(normalized(data.images.rows(0, 1))).to_vector<double>();
  for (size_t i = 0; i < 10; ++i) CHECK(std::abs(mine[i] - logits[i]) <= 1e-4);  // PyTorch's, printed to four digits
  CHECK(std::abs(count_correct(*net, data, 1) - 4578) <= 2);
}

TEST_CASE("published ResNet-32, 44, 56: every 25th of the lossless images") {
  GRAFT_REQUIRE_DATA("cifar10/cifar10-test5000-png.tar.gz");
  GRAFT_REQUIRE_DATA("resnet-cifar10/resnet56-4bfd9763.th");
  NoGrad no_grad;
  const io::Dataset data = io::load_dataset("cifar10-test5000").test;
  const std::pair<const char*, const char*> networks[] = {
      {"resnet32", "d509ac18"}, {"resnet44", "014dd654"}, {"resnet56", "4bfd9763"}};
  for (auto& [name, hash] : networks) {
    CAPTURE(name);
    // Accuracy is .92 to .93 on all images; of 200 165 are five standard deviations below .92.
    CHECK(count_correct(*published(name, hash), data, 25) >= 165);
  }
}
