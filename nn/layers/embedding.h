// Tables of vectors, and what language models build of them. Token ids are i64.
#pragma once
#include <optional>
#include <string>

#include "nn/init.h"
#include "tensor/ops/embedding.h"

namespace graft::nn {

// ids i64[..] -> [.., dim].
class Embedding : public Module {
 public:
  // std: of the initial values, whatever the Init.
  Embedding(int64_t vocabulary, int64_t dim, double std = 1);
  Tensor forward(const Tensor& ids) override { return embedding(weight, ids); }
  Shape output_shape(const Shape& ids) const override;

  Tensor weight;  // [vocabulary, dim]

 private:
  void reset(Init, uint64_t key, const std::string& path) override;
  double std_;
};

struct TokenEmbeddingOptions {
  int64_t vocabulary = 0, context = 0, dim = 0;  // context: the longest sequence
  int64_t types = 0;                             // BERT's segment types, 0: none; every token is of type 0
  double std = 0.02;
  struct Names {
    std::string tokens = "tokens", positions = "positions", types = "types";
  } names = {};
};

// ids i64[N, T] -> [N, T, dim]: token + learned position (+ type 0). ShapeError when T is longer than the context.
class TokenEmbedding : public Module {
 public:
  explicit TokenEmbedding(const TokenEmbeddingOptions&);
  Tensor forward(const Tensor& ids) override;
  Shape output_shape(const Shape& ids) const override;

  Embedding tokens, positions;
  std::optional<Embedding> types;
};

// y[.., vocabulary] = x[.., dim] table^T: an output layer that shares its weight with an embedding (Press & Wolf 2017). The
// weight is the embedding's parameter, counted and named there alone, with the gradients of both uses; frozen with it.
class TiedLinear : public Module {
 public:
  explicit TiedLinear(const Embedding& table) : table_(table) {}  // table outlives this
  Tensor forward(const Tensor& x) override;
  Tensor loss(const Tensor& x, const Tensor& labels, double label_smoothing = 0) override;
  Shape output_shape(const Shape& x) const override;
  int64_t multiply_adds(const Shape& x) const override { return x.numel() * table_.weight.size(0); }

 private:
  const Embedding& table_;
};

}  // namespace graft::nn
