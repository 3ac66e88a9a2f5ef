// Weight files written by PyTorch, numpy and safetensors (tests/golden/make_weights.py), and real ones.
#include "io/weights/weights.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "io/weights/convert.h"
#include "io/weights/inspect.h"
#include "tests/harness/skip.h"
#include "tests/io/helpers.h"

using namespace graft;
using namespace graft::io;
namespace fs = std::filesystem;

namespace {

const fs::path kFolder = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/weights";

std::string hex(const Tensor& t) {
  std::string s;
  for (size_t i = 0; i < t.bytes(); ++i) s += fmt::format("{:02x}", unsigned(t.raw_bytes()[i]));
  return s;
}

std::string line_of(const std::string& name, const Tensor& t) {
  std::string sizes;
  for (int64_t d : t.shape()) sizes += fmt::format("{}{}", sizes.empty() ? "" : ",", d);
  return fmt::format("{}|{}|{}|{}", name, graft::name(t.dtype()), sizes, hex(t));
}

void check_equal(const NamedTensors& a, const NamedTensors& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].first == b[i].first);
    CHECK(a[i].second.shape() == b[i].second.shape());
    REQUIRE(a[i].second.dtype() == b[i].second.dtype());
    CHECK((a[i].second.bytes() == 0 || std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()) == 0));
  }
}

}  // namespace

TEST_CASE("weights: every file of PyTorch, numpy and safetensors holds exactly what they wrote") {
  std::map<std::string, std::map<std::string, std::string>> expected;  // file -> name -> line
  std::ifstream in(kFolder / "expected.txt");
  for (std::string line; std::getline(in, line);) {
    const size_t bar = line.find('|'), second = line.find('|', bar + 1);
    expected[line.substr(0, bar)][line.substr(bar + 1, second - bar - 1)] = line.substr(bar + 1);
  }
  REQUIRE(expected.size() == 15);
  for (const auto& [file, lines] : expected) {
    CAPTURE(file);
    const NamedTensors tensors = load_weights(kFolder / file);
    CHECK(tensors.size() == lines.size());
    for (const auto& [name, t] : tensors) {
      REQUIRE(lines.contains(name));
      CHECK(line_of(name, t) == lines.at(name));
    }
  }
}

TEST_CASE("weights: the format is told by the content") {
  auto format = [](const char* file) { return load_weight_file(kFolder / file).format; };
  CHECK(format("state_zip.pth") == WeightFormat::torch_zip);
  CHECK(format("state_legacy.pth") == WeightFormat::torch_legacy);
  CHECK(format("arrays.npz") == WeightFormat::npz);
  CHECK(format("version1.npy") == WeightFormat::npy);
  CHECK(format("state.safetensors") == WeightFormat::safetensors);
  CHECK(load_weight_file(kFolder / "state.safetensors").metadata.at("made by") == "safetensors");
  CHECK_THROWS_WITH_AS(parse_weights(bytes_of("GIF89a.."), "x.pth"), doctest::Contains("x.pth: unknown format"), LoadError);
  CHECK_THROWS_AS(load_weights(kFolder), LoadError);
  CHECK_THROWS_AS(load_weights(kFolder / "absent.pth"), LoadError);
}

TEST_CASE("weights: .npz and .safetensors written here come back the same") {
  const test::TemporaryFolder temporary;
  const fs::path& folder = temporary.path();
  for (const char* file : {"state_legacy.pth", "arrays.npz", "nested_zip.th"}) {
    NamedTensors tensors = load_weights(kFolder / file);
    for (auto& [name, t] : tensors)
      if (t.dtype() == DType::bf16) t = t.to(DType::f32);  // as save_npz does
    save_npz(folder / "a.npz", tensors);
    check_equal(load_weights(folder / "a.npz"), tensors);
    const Conversion c = convert(folder / "a.npz", folder / "a.safetensors");
    CHECK(c.tensors == int64_t(tensors.size()));
    check_equal(load_weights(folder / "a.safetensors"), tensors);
  }
  CHECK_THROWS_AS(convert(kFolder / "arrays.npz", folder / "a.onnx"), ConfigError);
  CHECK_THROWS_AS(save_npz(folder / "b.npz", {{"a", Tensor::zeros({1})}, {"a", Tensor::zeros({1})}}), ConfigError);
}

TEST_CASE("inspect: statistics of the finite values, counts of the others, parameters apart from buffers") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const TensorRow r = describe("w", Tensor::from<float>({1, -3, nan, inf, -inf, 5}, {6}));
  CHECK(r.min == -3);
  CHECK(r.max == 5);
  CHECK(r.mean == 1);
  CHECK(r.std == doctest::Approx(std::sqrt(32.0 / 3)));
  CHECK(r.nan == 1);
  CHECK(r.inf == 2);
  CHECK(std::isnan(describe("e", Tensor::empty({0})).mean));
  const Inspection all = inspect(kFolder / "nested_legacy.th");
  CHECK(all.rows.size() == 7);
  CHECK(all.parameters == 8);  // convolution 2 + 2, batch norm 2 + 2
  CHECK(all.buffers == 5);     // running_mean 2, running_var 2, num_batches_tracked 1
  CHECK(to_text(all).find("module.0.weight") != std::string::npos);
  CHECK(to_json(all).starts_with("{\"path\":"));
  CHECK(inspect(kFolder / "state_zip.pth").nan == 1);
  CHECK(to_json(inspect(kFolder / "arrays.npz")).find("\"mean\":null") != std::string::npos);  // the empty array
}

TEST_CASE("weights: real files of the ResNets") {
  const struct {
    const char* file;
    size_t tensors;
    int64_t parameters;
  } kNets[] = {{"resnet-cifar10/resnet20-12fca82f.th", 97, 269'722},
               {"resnet-cifar10/resnet32-d509ac18.th", 157, 464'154},
               {"resnet-cifar10/resnet44-014dd654.th", 217, 658'586},
               {"resnet-cifar10/resnet56-4bfd9763.th", 277, 853'018}};
  for (const auto& net : kNets) {
    GRAFT_REQUIRE_DATA(net.file);
    const Inspection all = inspect(harness::data_path(net.file));
    CHECK(all.format == WeightFormat::torch_legacy);
    CHECK(all.rows.size() == net.tensors);
    CHECK(all.parameters == net.parameters);
    CHECK(all.rows[0].name == "module.conv1.weight");
    CHECK(all.rows[0].shape == Shape{16, 3, 3, 3});
    CHECK(all.nan + all.inf == 0);
  }
}

TEST_CASE("weights: real files of SqueezeNet, EfficientNet-Lite0 and PReNet") {
  const struct {
    const char* file;
    size_t tensors;
    int64_t parameters;
  } kNets[] = {{"pretrained/squeezenet-v1.1/squeezenet1_1.safetensors", 52, 1'235'496},
               {"pretrained/efficientnet-lite0/efficientnet-lite0-57934424.pth", 296, 4'652'008},
               {"pretrained/prenet/prenet6-rain100h.pth", 32, 168'963},
               {"pretrained/prenet/prn6_r-rain100h.pth", 0, 21'123}};
  for (const auto& net : kNets) {
    GRAFT_REQUIRE_DATA(net.file);
    const Inspection all = inspect(harness::data_path(net.file));
    CAPTURE(net.file);
    if (net.tensors) CHECK(all.rows.size() == net.tensors);
    CHECK(all.parameters == net.parameters);
    CHECK(all.nan + all.inf == 0);
  }
}

TEST_CASE("convert: .th -> .safetensors -> .npz -> .safetensors keeps every byte") {
  GRAFT_REQUIRE_DATA("resnet-cifar10/resnet20-12fca82f.th");
  const test::TemporaryFolder temporary;
  const fs::path& folder = temporary.path();
  const fs::path source = harness::data_path("resnet-cifar10/resnet20-12fca82f.th");
  convert(source, folder / "a.safetensors");
  convert(folder / "a.safetensors", folder / "b.npz");
  convert(folder / "b.npz", folder / "c.safetensors");
  check_equal(load_weights(source), load_weights(folder / "c.safetensors"));
  CHECK(read_file(folder / "a.safetensors") == read_file(folder / "c.safetensors"));
}
