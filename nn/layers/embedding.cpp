#include "nn/layers/embedding.h"

#include <limits>

#include "tensor/ops/binary.h"
#include "tensor/ops/linear.h"
#include "tensor/ops/loss.h"
#include "tensor/ops/view.h"

namespace graft::nn {

Embedding::Embedding(int64_t vocabulary, int64_t dim, double std)
    : weight(Tensor::full({vocabulary, dim}, std::numeric_limits<double>::quiet_NaN())), std_(std) {
  add_parameter("weight", weight);
}

Shape Embedding::output_shape(const Shape& ids) const {
  std::vector<int64_t> dims(ids.begin(), ids.end());
  dims.push_back(weight.size(1));
  return Shape(std::span<const int64_t>(dims));
}

void Embedding::reset(Init, uint64_t key, const std::string& path) {
  fill_normal(weight, std_, Philox{stream_key(key, join_path(path, "weight")), 0});
}

TokenEmbedding::TokenEmbedding(const TokenEmbeddingOptions& o)
    : tokens(o.vocabulary, o.dim, o.std), positions(o.context, o.dim, o.std) {
  add_child(o.names.tokens, tokens);
  add_child(o.names.positions, positions);
  if (o.types) add_child(o.names.types, types.emplace(o.types, o.dim, o.std));
}

Shape TokenEmbedding::output_shape(const Shape& ids) const {
  check<ShapeError>(ids.rank() == 2 && ids[1] <= positions.weight.size(0),
                    "token embedding: ids: expected [N, T] with at most {} tokens, got {}", positions.weight.size(0), ids);
  return tokens.output_shape(ids);
}

Tensor TokenEmbedding::forward(const Tensor& ids) {
  output_shape(ids.shape());
  Tensor place = slice(positions.weight, 0, 0, ids.size(1));
  if (types) place = add(place, slice(types->weight, 0, 0, 1));
  return add(tokens.forward(ids), place);
}

Tensor TiedLinear::forward(const Tensor& x) { return linear(x, table_.weight); }

Tensor TiedLinear::loss(const Tensor& x, const Tensor& labels, double label_smoothing) {
  return linear_cross_entropy(x, table_.weight, labels, label_smoothing);
}

Shape TiedLinear::output_shape(const Shape& x) const {
  check<ShapeError>(x.rank() >= 1 && x[-1] == table_.weight.size(1), "tied linear: x: expected [.., {}], got {}",
                    table_.weight.size(1), x);
  Shape y = x;
  y.set(-1, table_.weight.size(0));
  return y;
}

}  // namespace graft::nn
