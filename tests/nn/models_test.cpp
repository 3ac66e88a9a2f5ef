// Every model: sizes against the literature, gradients, cut points, bits.
#include "nn/models/models.h"

#include <doctest/doctest.h>

#include "nn/table.h"
#include "nn_test.h"
#include "tensor/autograd.h"

using namespace graft;
using namespace graft::nn;

TEST_CASE("every name of model_names() is built, and tested here") {
  for (const std::string& name : model_names()) {
    bool tested = false;
    for (const auto& list : {small_models(), large_models()})
      for (const ModelSpec& s : list) tested |= s.name == name;
    CHECK_MESSAGE(tested, name);
  }
  CHECK_THROWS_WITH_AS(make_model({"vgg", {32, 32, 3}, 10}), doctest::Contains("none is named 'vgg': expected one of study_cnn"),
                       ConfigError);
  CHECK_THROWS_AS(make_model({"alexnet", {32, 32, 3}, 10}), ShapeError);
  CHECK_THROWS_WITH_AS(make_model({"mlp", {32, 32}, 10}), "model: input: mlp takes images [H, W, C], got [32, 32]", ShapeError);
  CHECK_THROWS_WITH_AS(make_model({"encoder", {32, 32, 3}, 10}), "model: input: encoder takes tokens [T], got [32, 32, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(make_model({"decoder", {257}, 10}), doctest::Contains("at most 256 tokens, got [1, 257]"), ShapeError);
  CHECK(vocabulary({"decoder", {4}, 65}) == 65);
  CHECK(vocabulary({"encoder", {4}, 2}) == 30522);
  CHECK(vocabulary({"mlp", {4, 4, 1}, 2}) == 0);
}

TEST_CASE("parameter counts") {
  const auto count = [](const ModelSpec& s) { return parameter_count(*make_model(s)); };
  const auto study = [](int64_t channels, int64_t flat, int64_t classes) {
    return 9 * (channels * 16 + 16 * 32 + 32 * 48 + 48 * 48) + (16 + 32 + 48 + 48) + (flat * 128 + 128) + (128 * 64 + 64) +
           (64 * classes + classes);
  };
  CHECK(count({"study_cnn", {32, 32, 3}, 10}) == study(3, 768, 10));
  CHECK(count({"study_cnn", {28, 28, 1}, 5}) == study(1, 432, 5));
  CHECK(count({"mlp", {28, 28, 1}, 10}) == 784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10);
  CHECK(count({"alexnet", {227, 227, 3}, 1000}) == 60'965'224);  // CaffeNet
  CHECK(count({"resnet20", {32, 32, 3}, 10}) == 269'722);        // the published files, and so below
  CHECK(count({"resnet32", {32, 32, 3}, 10}) == 464'154);
  CHECK(count({"resnet44", {32, 32, 3}, 10}) == 658'586);
  CHECK(count({"resnet56", {32, 32, 3}, 10}) == 853'018);
  CHECK(count({"resnet18", {224, 224, 3}, 1000}) == 11'689'512);  // torchvision's documentation, and so below
  CHECK(count({"resnet50", {224, 224, 3}, 1000}) == 25'557'032);
  CHECK(count({"gpt2_124m", {1024}, 50257}) == 124'439'808);
  CHECK(count({"encoder", {64}, 2}) == 22'713'216 + 2 * 384 + 2);  // all-MiniLM-L6-v2 and a classifier
  const int64_t block = 12 * 384 * 384 + 13 * 384;
  CHECK(count({"decoder", {256}, 65}) == 65 * 384 + 256 * 384 + 6 * block + 2 * 384);
}

TEST_CASE("multiply-adds") {
  const auto count = [](const ModelSpec& s) {
    int64_t n = 0;
    for (const LayerRow& row : layer_rows(*make_model(s), s.input)) n += row.multiply_adds;
    return n;
  };
  const int64_t study = 9 * (1024 * 3 * 16 + 256 * 16 * 32 + 64 * 32 * 48 + 64 * 48 * 48) + 768 * 128 + 128 * 64 + 64 * 10;
  CHECK(count({"study_cnn", {32, 32, 3}, 10}) == study);
  CHECK(std::round(double(study) / 1e4) == 394);  // 3.94 M
  // CaffeNet: 55, 27, 13 pixels a side, the products of one output (grouped: of its half) times the outputs.
  CHECK(count({"alexnet", {227, 227, 3}, 1000}) == int64_t{55 * 55} * 96 * 363 + int64_t{27 * 27} * 256 * 1200 +
                                                       int64_t{169} * (384 * 2304 + 384 * 1728 + 256 * 1728) +
                                                       int64_t{9216} * 4096 + int64_t{4096} * 4096 + 4096 * 1000);
  CHECK(count({"resnet18", {224, 224, 3}, 1000}) == 1'814'073'344);  // 1.81 and 4.09 G in torchvision's documentation
  CHECK(count({"resnet50", {224, 224, 3}, 1000}) == 4'089'184'256);
  // A token costs every matrix of the blocks and the head once, and both products of attention over all tokens.
  const int64_t matrices = 12 * 12 * 768 * 768 + 768 * 50257;
  for (int64_t tokens : {64, 1024}) {
    const int64_t n = count({"gpt2_124m", {tokens}, 50257});
    CHECK(n == tokens * (matrices + 12 * 2 * tokens * 768));
    // 6 flops a weight and 12 a pair of attention, forward and backward: 0.75 and 0.85 GFLOP a token.
    CHECK(std::round(6e-7 * double(n) / double(tokens)) == (tokens == 64 ? 75 : 85));
  }
}

TEST_CASE("the layer table") {
  auto net = make_initialized({"study_cnn", {28, 28, 1}, 5});
  net->block(0).set_frozen(true);
  const std::vector<LayerRow> rows = layer_rows(*net, {28, 28, 1});
  REQUIRE(rows.size() == 7);
  CHECK(rows[0].output == Shape{14, 14, 16});
  CHECK(rows[3].output == Shape{3, 3, 48});
  CHECK(rows[6].output == Shape{5});
  CHECK(rows[0].state() == "frozen");
  CHECK(rows[1].state() == "trainable");
  CHECK(layer_table(*net, {28, 28, 1}) ==
        "name   output        parameters  multiply-adds  state\n"
        "conv1  [14, 14, 16]         160        112,896  frozen\n"
        "conv2  [7, 7, 32]         4,640        903,168  trainable\n"
        "conv3  [7, 7, 48]        13,872        677,376  trainable\n"
        "conv4  [3, 3, 48]        20,784      1,016,064  trainable\n"
        "fc5    [128]             55,424         55,296  trainable\n"
        "fc6    [64]               8,256          8,192  trainable\n"
        "fc7    [5]                  325            320  trainable\n"
        "total                   103,461      2,773,312  103,301 trainable\n");
}

TEST_CASE("ResNet's parameters have the names of the published files") {
  const auto net = make_model({"resnet20", {32, 32, 3}, 10});
  std::vector<std::string> names;
  for (auto& [name, t] : net->named_parameters()) names.push_back(name);
  REQUIRE(names.size() == 59);
  CHECK(std::vector(names.begin(), names.begin() + 9) ==
        std::vector<std::string>{"conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight",
                                 "layer1.0.bn1.bias", "layer1.0.conv2.weight", "layer1.0.bn2.weight", "layer1.0.bn2.bias"});
  CHECK(names[51] == "layer3.2.conv1.weight");
  CHECK(names[57] == "linear.weight");
  CHECK(net->named_buffers().front().first == "bn1.running_mean");
  CHECK(net->named_buffers().back().first == "layer3.2.bn2.running_var");
  CHECK(net->named_buffers().size() == 2 * 19);
}

TEST_CASE("parameters have the names of torchvision and Hugging Face, the tied head none") {
  const auto names = [](const ModelSpec& s) {
    std::vector<std::string> list;
    for (auto& [name, t] : make_model(s)->named_parameters()) list.push_back(name);
    return list;
  };
  const auto has = [](const std::vector<std::string>& list, const char* name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  const auto resnet18 = names({"resnet18", {32, 32, 3}, 5}), resnet50 = names({"resnet50", {32, 32, 3}, 5});
  CHECK(resnet18.size() == 62);
  CHECK(resnet50.size() == 161);
  for (const char* name : {"conv1.weight", "bn1.bias", "layer1.0.conv2.weight", "layer2.0.downsample.0.weight",
                           "layer4.1.bn2.weight", "fc.weight", "fc.bias"})
    CHECK_MESSAGE(has(resnet18, name), name);
  for (const char* name : {"layer1.0.downsample.1.weight", "layer3.5.conv3.weight", "layer4.2.bn3.bias"})
    CHECK_MESSAGE(has(resnet50, name), name);
  CHECK_FALSE(has(resnet18, "layer1.0.downsample.0.weight"));
  const auto decoder = names({"decoder", {6}, 11});
  CHECK(std::vector(decoder.begin(), decoder.begin() + 14) ==
        std::vector<std::string>{"wte.weight", "wpe.weight", "h.0.ln_1.weight", "h.0.ln_1.bias", "h.0.attn.c_attn.weight",
                                 "h.0.attn.c_attn.bias", "h.0.attn.c_proj.weight", "h.0.attn.c_proj.bias", "h.0.ln_2.weight",
                                 "h.0.ln_2.bias", "h.0.mlp.c_fc.weight", "h.0.mlp.c_fc.bias", "h.0.mlp.c_proj.weight",
                                 "h.0.mlp.c_proj.bias"});
  CHECK(std::vector(decoder.end() - 2, decoder.end()) == std::vector<std::string>{"ln_f.weight", "ln_f.bias"});
  const auto encoder = names({"encoder", {5}, 3});
  for (const char* name :
       {"embeddings.token_type_embeddings.weight", "embeddings.LayerNorm.bias", "encoder.layer.5.attention.self.qkv.weight",
        "encoder.layer.0.attention.output.LayerNorm.weight", "encoder.layer.0.intermediate.dense.bias",
        "encoder.layer.0.output.LayerNorm.bias", "pooler.dense.weight", "classifier.bias"})
    CHECK_MESSAGE(has(encoder, name), name);
}

TEST_CASE("forward gives [N, classes] or [N, T, classes], and the table's shapes at every cut") {
  NoGrad no_grad;
  for (const ModelSpec& spec : small_models()) {
    CAPTURE(spec.name);
    auto net = make_initialized(spec);
    Tensor x = random_inputs(2, spec);
    for (const LayerRow& row : layer_rows(*net, spec.input)) {
      const int i = net->index(row.name);
      x = net->forward(x, i, i + 1);
      CHECK(Shape(std::span(x.shape().begin() + 1, x.shape().end())) == row.output);
    }
    CHECK(x.shape() == (spec.name == "decoder" ? Shape{2, spec.input[0], spec.classes} : Shape{2, spec.classes}));
    CHECK(all_finite(x));
  }
}

void check_gradients(const ModelSpec& spec) {
  auto net = make_initialized(spec);
  for (int cut : {0, net->size() / 2}) {
    for (int i = 0; i < cut; ++i) net->block(i).set_frozen(true);
    net->set_random(1, 1);
    loss_of(net->forward(random_inputs(4, spec))).backward();
    for (int i = 0; i < net->size(); ++i)
      for (auto& [name, t] : net->block(i).named_parameters()) {
        CAPTURE(spec.name);
        CAPTURE(net->name(i));
        CAPTURE(name);
        if (i < cut) {
          CHECK_FALSE(t.grad().defined());
          continue;
        }
        REQUIRE(t.grad().defined());
        double sum = 0;
        for (double v : t.grad().to_vector<double>()) sum += std::abs(v);
        CHECK(std::isfinite(sum));
        CHECK(sum > 0);
        t.zero_grad();
      }
  }
}

TEST_CASE("every trainable parameter gets a finite, non-zero gradient, every frozen one none") {
  for (const ModelSpec& spec : small_models()) check_gradients(spec);
}
TEST_CASE("every trainable parameter of the large models gets a gradient, every frozen one none") {
  for (const ModelSpec& spec : large_models()) check_gradients(spec);
}

TEST_CASE("a training step changes no buffer of a frozen block by a bit") {
  for (const ModelSpec& spec : small_models()) {
    auto net = make_initialized(spec);
    net->forward(random_inputs(4, spec));  // statistics that are not the initial ones
    for (int i = 0; i + 1 < net->size(); ++i) net->block(i).set_frozen(true);
    const NamedTensors before = copy_of(net->named_buffers());
    net->set_random(1, 2);
    loss_of(net->forward(random_inputs(4, spec, 8))).backward();
    const NamedTensors after = net->named_buffers();
    for (size_t i = 0; i < before.size(); ++i) {
      CAPTURE(before[i].first);
      CHECK(same_bits(before[i].second, after[i].second));
    }
  }
}

TEST_CASE("forward in two parts has the bits of forward, in training and in evaluation") {
  NoGrad no_grad;
  for (const ModelSpec& spec : small_models()) {
    CAPTURE(spec.name);
    auto net = make_initialized(spec);
    const Tensor x = random_inputs(3, spec);
    for (bool training : {true, false}) {
      net->train(training);
      const Tensor whole = net->forward(x);
      for (int k = 0; k <= net->size(); k += net->size() > 8 ? 4 : 1)
        CHECK(same_bits(net->forward(net->forward(x, 0, k), k, net->size()), whole));
    }
  }
}

TEST_CASE("in evaluation a row has the same bits in any batch") {
  NoGrad no_grad;
  for (const ModelSpec& spec : small_models()) {
    CAPTURE(spec.name);
    auto net = make_initialized(spec);
    net->forward(random_inputs(8, spec));
    net->train(false);
    const Tensor x = random_inputs(7, spec, 5), y = net->forward(x);
    for (int64_t i : {0, 3, 6}) CHECK(same_bits(net->forward(x.rows(i, i + 1)), y.rows(i, i + 1)));
  }
}

TEST_CASE("which blocks are random: CaffeNet's from fc7 on, no others") {
  for (const ModelSpec& spec : small_models()) {
    auto net = make_model(spec);
    for (int i = 0; i < net->size(); ++i)
      CHECK(net->block(i).random() == (spec.name == "alexnet" && (net->name(i) == "fc7" || net->name(i) == "fc8")));
  }
}
