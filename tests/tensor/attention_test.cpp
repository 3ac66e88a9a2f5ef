// Attention beyond its cases: what masks promise, against matmul and softmax, the bits of a row, errors.
#include "tensor/ops/attention.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/common/philox.h"
#include "kernels/common/registry.h"
#include "tensor/ops/axpby.h"
#include "tensor/ops/matmul.h"
#include "tensor/ops/softmax.h"
#include "tensor/ops/view.h"
#include "tests/harness/compare.h"

using namespace graft;
using namespace graft::harness;

namespace {

Tensor normal(Shape shape, uint64_t key, Device device = {}) {
  const Tensor t = Tensor::empty(shape);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = float(Philox{key, 0}.normal(uint64_t(i)));
  return t.to(device);
}

std::vector<Backend> backends() {
  std::vector<Backend> list{Backend::ref, Backend::cpu};
  if (has_kernel(Op::attention, Pass::forward, Backend::emu, DType::f32)) list.push_back(Backend::emu);
  return list;
}

bool same_bits(const Tensor& a, const Tensor& b) { return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

}  // namespace

TEST_CASE("masks of attention: the keys a query sees are the queries a key is seen by") {
  for (int64_t queries : {1, 4, 7})
    for (int64_t keys : {1, 4, 9})
      for (bool causal : {false, true})
        for (int64_t window : {0, 1, 3, 20})
          for (int64_t count = 0; count <= keys; ++count) {
            const AttentionParams p{1, queries, keys, 1, 1, 1, 1, causal, window};
            for (int64_t i = 0; i < queries; ++i)
              for (int64_t j = 0; j < count; ++j) {
                const int64_t place = i + keys - queries;
                const bool allowed = (!causal || j <= place) && (!window || std::abs(place - j) < window);
                const Interval seen = seen_keys(p, i, count), seeing = seeing_queries(p, j);
                CHECK((j >= seen.begin && j < seen.end) == allowed);
                CHECK((i >= seeing.begin && i < seeing.end) == allowed);
              }
          }
}

TEST_CASE("attention is softmax between two products") {
  const Tensor q = normal({2, 9, 3, 8}, 1), k = normal({2, 11, 3, 8}, 2), v = normal({2, 11, 3, 8}, 3);
  const auto heads_first = [](const Tensor& t) { return permute(t, {0, 2, 1, 3}); };
  const Tensor score = scale(matmul(heads_first(q), heads_first(k), false, true), 1 / std::sqrt(8.0));
  const Tensor expected = heads_first(matmul(softmax(score), heads_first(v)));
  const auto e = expected.to_vector<double>(), a = attention(q, k, v).to_vector<double>();
  const Comparison c = compare<double>(a, e, rounding(0x1p-23, 19, e));
  CHECK_MESSAGE(c.ok, c.report);
}

TEST_CASE("self_attention is attention of the three parts, bit for bit") {
  const Tensor x = normal({2, 9, 8 * 16}, 1).set_requires_grad(true);  // four query heads, two of keys and two of values
  std::vector<Tensor> gradients;
  const auto part = [&](int64_t begin, int64_t heads) {
    return reshape(slice(x, 2, begin * 16, (begin + heads) * 16), {2, 9, heads, 16});
  };
  const Tensor lengths = Tensor::from<int64_t>({9, 4}, {2});
  const Tensor y = self_attention(x, 4, 2, {.causal = true}, lengths);
  CHECK(y.shape() == Shape{2, 9, 64});
  const Tensor separate = attention(part(0, 4), part(4, 2), part(6, 2), {.causal = true}, lengths);
  CHECK(same_bits(y, separate));
  const Tensor dy = normal(y.shape(), 2);
  for (const Tensor& out : {y, reshape(separate, y.shape())}) {
    x.zero_grad();
    out.backward(dy);
    gradients.push_back(x.grad());
  }
  CHECK(same_bits(gradients[0], gradients[1]));
  CHECK_THROWS_WITH_AS(self_attention(x, 4, 3), "self_attention: kv_heads: expected a divisor of 4 heads, got 3", ShapeError);
  CHECK_THROWS_WITH_AS(self_attention(x, 5, 5), "self_attention: qkv: expected [B, T, 15 D], got [2, 9, 128]", ShapeError);
}

TEST_CASE("queries that see no key give zeros and gradients of zero; padding is never read") {
  for (int64_t dim : {6, 32}) {
    const Tensor lengths_on_cpu = Tensor::from<int64_t>({3, 0, 5}, {3});
    for (Backend backend : backends()) {
      INFO(int(backend), " head_dim ", dim);
      const Device device{backend};
      const Tensor q = normal({3, 7, 2, dim}, 1, device).clone(), k = normal({3, 5, 1, dim}, 2, device).clone(),
                   v = normal({3, 5, 1, dim}, 3, device).clone();
      for (const Tensor& t : {k, v})  // padding holds rubbish
        for (int64_t b = 0; b < 3; ++b)
          for (int64_t at = lengths_on_cpu.data<int64_t>()[b] * dim; at < 5 * dim; ++at)
            t.data<float>()[b * 5 * dim + at] = std::nanf("");
      for (const Tensor& t : {q, k, v}) t.set_requires_grad(true);
      const Tensor y = attention(q, k, v, {.causal = true}, lengths_on_cpu.to(device));
      y.backward(normal(y.shape(), 4, device));
      const auto out = y.to_vector<float>(), dq = q.grad().to_vector<float>();
      for (int64_t b = 0; b < 3; ++b)
        for (int64_t i = 0; i < 7; ++i)
          for (int64_t d = 0; d < 2 * dim; ++d) {
            const size_t at = size_t((b * 7 + i) * 2 * dim + d);
            const bool sees = i >= 2 && b != 1;  // queries 0 and 1 stand before the first key; sample 1 has none
            CHECK(std::isfinite(out[at]));
            CHECK((out[at] != 0) == sees);
            CHECK(std::isfinite(dq[at]));
            if (!sees) CHECK(dq[at] == 0);
          }
      for (const Tensor& t : {k, v})
        for (float g : t.grad().to_vector<float>()) CHECK(std::isfinite(g));
      for (int64_t d = 0; d < 5 * dim; ++d) CHECK(k.grad().to_vector<float>()[size_t(5 * dim + d)] == 0);
    }
  }
}

TEST_CASE("a sample of attention has the same bits in every batch, a causal row whatever follows") {
  const Tensor q = normal({4, 150, 4, 32}, 1), k = normal({4, 150, 2, 32}, 2), v = normal({4, 150, 2, 32}, 3);
  const Tensor y = attention(q, k, v, {.causal = true});
  for (int64_t b = 0; b < 4; ++b) {
    const auto sample = [b](const Tensor& t) { return t.rows(b, b + 1); };
    CHECK(same_bits(attention(sample(q), sample(k), sample(v), {.causal = true}), sample(y)));
  }
  const auto start = [](const Tensor& t) { return slice(t.rows(0, 1), 1, 0, 61); };
  CHECK(same_bits(attention(start(q), start(k), start(v), {.causal = true}), start(y)));
}

TEST_CASE("a NaN passes through attention") {
  for (Backend backend : backends())
    for (int64_t dim : {6, 64})
      for (int which = 0; which < 3; ++which) {
        std::vector<Tensor> in{normal({1, 2, 1, dim}, 1, {backend}).clone(), normal({1, 3, 1, dim}, 2, {backend}).clone(),
                               normal({1, 3, 1, dim}, 3, {backend}).clone()};
        in[size_t(which)].data<float>()[1] = std::nanf("");
        CHECK(std::isnan(attention(in[0], in[1], in[2]).to_vector<float>()[1]));
      }
}

TEST_CASE("attention names what does not fit") {
  const Tensor q = Tensor::zeros({2, 3, 4, 8}), k = Tensor::zeros({2, 5, 2, 8});
  CHECK_THROWS_WITH_AS(attention(Tensor::zeros({2, 3, 8}), k, k), "attention: q: expected [B, T, H, D], got [2, 3, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(attention(q, Tensor::zeros({2, 5, 3, 8}), k),
                       "attention: k: expected [2, T, a divisor of 4 heads, 8], got [2, 5, 3, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(attention(q, k, Tensor::zeros({2, 4, 2, 8})),
                       "attention: v: expected the shape of k, [2, 5, 2, 8], got [2, 4, 2, 8]", ShapeError);
  CHECK_THROWS_WITH_AS(attention(q, k, k, {}, Tensor::from<int64_t>({1, 6}, {2})),
                       "attention: lengths: expected 0 to 5 keys, got 6", ShapeError);
  CHECK_THROWS_AS(attention(q, k, k, {}, Tensor::zeros({2})), DtypeError);
  CHECK_THROWS_AS(attention(q, k, k, {.window = -1}), ConfigError);
  CHECK(attention(Tensor::zeros({2, 0, 4, 8}), k, k).numel() == 0);
  for (float f : attention(q, Tensor::zeros({2, 0, 2, 8}), Tensor::zeros({2, 0, 2, 8})).to_vector<float>()) CHECK(f == 0);
}
