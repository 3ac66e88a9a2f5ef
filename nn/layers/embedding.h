// A table of vectors: ids i64[..] -> [.., dim].
#pragma once
#include "nn/init.h"
#include "tensor/ops/embedding.h"

namespace graft::nn {

class Embedding : public Module {
 public:
  Embedding(int64_t vocabulary, int64_t dim);
  Tensor forward(const Tensor& ids) override { return embedding(weight, ids); }
  Shape output_shape(const Shape& ids) const override;

  Tensor weight;  // [vocabulary, dim]

 private:
  void reset(Init, uint64_t key, const std::string& path) override;
};

}  // namespace graft::nn
