// Attention and transformer blocks beyond their shapes: masks, grouped heads, the shared weight, dropout.
#include "nn/layers/transformer.h"

#include <doctest/doctest.h>

#include "nn/layers/embedding.h"
#include "nn/layers/shape.h"
#include "nn_test.h"
#include "tensor/autograd.h"
#include "tensor/ops/binary.h"
#include "tensor/ops/linear.h"
#include "tests/harness/compare.h"

using namespace graft;
using namespace graft::nn;

namespace {

constexpr double kEps = 0x1p-23;

Tensor random_tokens(Shape shape, uint64_t key) {
  const Tensor x = Tensor::empty(shape);
  fill_normal(x, 1, Philox{key, 0});
  return x;
}

// n: the longest sum behind a value.
void check_close(const Tensor& actual, const Tensor& expected, double n) {
  const auto a = actual.to_vector<double>(), e = expected.to_vector<double>();
  const auto c = harness::compare<double>(a, e, harness::rounding(kEps, n, e));
  CHECK_MESSAGE(c.ok, c.report);
}

Tensor ids_of(std::initializer_list<int64_t> ids) { return Tensor::from<int64_t>(ids, {1, int64_t(ids.size())}); }

}  // namespace

TEST_CASE("attention and blocks make the shape that output_shape says, and name what does not fit") {
  const Tensor x = random_tokens({2, 5, 12}, 1);
  SelfAttention attention(12, {.heads = 4, .kv_heads = 2});
  TransformerBlock pre({.dim = 12, .heads = 3}), post({.dim = 12, .heads = 3, .hidden = 7, .norm = NormPlace::post});
  FirstToken first;
  for (Module* m : std::vector<Module*>{&attention, &pre, &post, &first}) {
    initialize(*m, Init::he_normal, 1);
    CHECK(m->forward(x).shape() == m->output_shape(x.shape()));
  }
  CHECK(attention.qkv.weight.shape() == Shape{12 + 2 * 6, 12});
  CHECK(attention.multiply_adds({2, 5, 12}) == 2 * 5 * (24 * 12 + 12 * 12 + 2 * 5 * 12));
  CHECK_THROWS_WITH_AS(SelfAttention(12, {.heads = 5}), "attention: heads: expected a divisor of 12, got 5", ShapeError);
  CHECK_THROWS_WITH_AS(SelfAttention(12, {.heads = 4, .kv_heads = 3}), "attention: kv_heads: expected a divisor of 4 heads, got 3",
                       ShapeError);
  CHECK_THROWS_AS(attention.forward(random_tokens({2, 12}, 1)), ShapeError);
  TokenEmbedding table({.vocabulary = 7, .context = 4, .dim = 3});
  CHECK_THROWS_WITH_AS(table.forward(ids_of({1, 2, 3, 4, 5})),
                       "token embedding: ids: expected [N, T] with at most 4 tokens, got [1, 5]", ShapeError);
}

TEST_CASE("grouped key heads are full heads with the rows of their weights repeated") {
  constexpr int64_t kDim = 12, kHead = 3;
  SelfAttention grouped(kDim, {.heads = 4, .kv_heads = 2, .causal = true}), full(kDim, {.heads = 4, .causal = true});
  initialize(grouped, Init::glorot_uniform, 1);
  initialize(full, Init::glorot_uniform, 2);
  fill_normal(grouped.qkv.bias, 1, Philox{3, 0});
  const auto spread = [](const Tensor& from, const Tensor& to) {  // rows of the heads 0 1 | 0 0 1 1 | 0 0 1 1
    for (int64_t head = 0; head < 12; ++head) {
      const int64_t source = head < 4 ? head : head < 8 ? 4 + (head - 4) / 2 : 6 + (head - 8) / 2;
      to.rows(head * kHead, (head + 1) * kHead).copy_from(from.rows(source * kHead, (source + 1) * kHead));
    }
  };
  spread(grouped.qkv.weight, full.qkv.weight);
  spread(grouped.qkv.bias, full.qkv.bias);
  full.out.weight.copy_from(grouped.out.weight);
  full.out.bias.copy_from(grouped.out.bias);
  const Tensor x = random_tokens({2, 7, kDim}, 4);
  check_close(grouped.forward(x), full.forward(x), kDim);
}

TEST_CASE("padding changes nothing: the encoder's answer is that of the sentence alone, whatever stands behind it") {
  NoGrad no_grad;
  auto net = bert({.layers = 2, .heads = 2, .dim = 16, .vocabulary = 19, .context = 8}, 3);
  initialize(*net, Init::glorot_uniform, 1);
  const Tensor padded = Tensor::from<int64_t>({1, 5, 9, 0, 0, 0, 2, 4, 6, 8, 10, 12}, {2, 6});
  const Tensor rubbish = Tensor::from<int64_t>({1, 5, 9, 17, 3, 7, 2, 4, 6, 8, 10, 12}, {2, 6});
  const Tensor without = net->forward(rubbish);
  net->set_lengths(Tensor::from<int64_t>({3, 6}, {2}));
  const Tensor y = net->forward(padded);
  CHECK(same_bits(net->forward(rubbish), y));
  CHECK_FALSE(same_bits(without, y));
  CHECK_THROWS_AS(net->forward(ids_of({1, 5, 9})), ShapeError);  // lengths of another batch
  net->set_lengths({});
  check_close(net->forward(ids_of({1, 5, 9})), y.rows(0, 1), 64);
  check_close(net->forward(rubbish.rows(1, 2)), y.rows(1, 2), 64);
}

TEST_CASE("the decoder reads no token that follows") {
  NoGrad no_grad;
  auto net = gpt2({.layers = 2, .heads = 2, .dim = 16, .vocabulary = 19, .context = 8});
  initialize(*net, Init::glorot_uniform, 1);
  const Tensor y = net->forward(ids_of({3, 1, 4, 1, 5, 9})), other = net->forward(ids_of({3, 1, 4, 18, 0, 2}));
  CHECK(y.shape() == Shape{1, 6, 19});
  CHECK(same_bits(slice(y, 1, 0, 3), slice(other, 1, 0, 3)));
  CHECK_FALSE(same_bits(slice(y, 1, 3, 4), slice(other, 1, 3, 4)));
}

TEST_CASE("a tied head: one parameter with the gradients of both uses, also after to()") {
  Chain net;
  auto& tokens = net.add<TokenEmbedding>("embedding", TokenEmbeddingOptions{.vocabulary = 7, .context = 4, .dim = 5});
  net.add<TiedLinear>("head", tokens.tokens);
  initialize(net, Init::he_normal, 1);
  CHECK(parameter_count(net) == 7 * 5 + 4 * 5);
  CHECK(net.block(1).named_parameters().empty());
  const Tensor ids = Tensor::from<int64_t>({1, 2, 1, 6, 0, 0}, {2, 3});
  loss_of(net.forward(ids)).backward();

  const Tensor in = tokens.tokens.weight.clone().set_requires_grad(true), out = in.clone().set_requires_grad(true);
  const Tensor place = slice(tokens.positions.weight.detach(), 0, 0, 3);
  loss_of(linear(add(embedding(in, ids), place), out)).backward();
  const auto a = in.grad().to_vector<double>(), b = out.grad().to_vector<double>();
  const auto both = tokens.tokens.weight.grad().to_vector<double>();
  for (size_t i = 0; i < both.size(); ++i) CHECK(both[i] == doctest::Approx(a[i] + b[i]).epsilon(1e-5));

  const Tensor before = net.forward(ids);
  net.to(DType::f64, Device{Backend::ref});
  tokens.tokens.weight.fill(0);  // seen by the head: it holds no tensor of its own
  for (double v : net.forward(ids.to(Device{Backend::ref})).to_vector<double>()) CHECK(v == 0);
  CHECK(all_finite(before));
  net.block(0).set_frozen(true);
  CHECK(trainable_parameters(net).empty());
}

TEST_CASE("dropout in a transformer: off unless asked for, other masks in every layer and step") {
  const TransformerSize size{.layers = 2, .heads = 2, .dim = 8, .vocabulary = 5, .context = 4, .dropout = 0.3};
  const Tensor ids = ids_of({0, 1, 2, 3});
  auto net = gpt2(size);
  CHECK(net->random());
  CHECK_FALSE(make_model({"decoder", {4}, 5})->random());
  initialize(*net, Init::gaussian_2014, 1);
  const auto run = [&](uint64_t step) {
    net->set_random(1, step);
    return net->forward(ids);
  };
  CHECK(same_bits(run(1), run(1)));
  CHECK_FALSE(same_bits(run(1), run(2)));
  net->train(false);
  CHECK(same_bits(run(1), run(2)));
}

TEST_CASE("initial values of GPT-2: N(0, 0.02^2), smaller where a block ends; the loss starts at log V") {
  auto net = gpt2({.layers = 8, .heads = 2, .dim = 64, .vocabulary = 96, .context = 32});
  initialize(*net, Init::gaussian_2014, 1);
  for (auto& [name, t] : net->named_parameters()) {
    CAPTURE(name);
    const auto v = t.to_vector<double>();
    double square = 0;
    for (double d : v) square += d * d;
    const double rms = std::sqrt(square / double(v.size()));
    if (name.ends_with("bias")) CHECK(rms == 0);
    else if (name.find("ln_") != std::string::npos) CHECK(rms == 1);
    else
      CHECK(rms == doctest::Approx(name.ends_with("c_proj.weight") ? 0.005 : 0.02).epsilon(5 / std::sqrt(2.0 * double(v.size()))));
  }
  const ModelSpec spec{"decoder", {32}, 96};
  CHECK(loss_of(net->forward(random_inputs(4, spec))).item() == doctest::Approx(std::log(96)).epsilon(0.02));
}
