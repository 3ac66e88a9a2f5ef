#include "nn/layers/embedding.h"

#include <limits>

namespace graft::nn {

Embedding::Embedding(int64_t vocabulary, int64_t dim)
    : weight(Tensor::full({vocabulary, dim}, std::numeric_limits<double>::quiet_NaN())) {
  add_parameter("weight", weight);
}

Shape Embedding::output_shape(const Shape& ids) const {
  std::vector<int64_t> dims(ids.begin(), ids.end());
  dims.push_back(weight.size(1));
  return Shape(std::span<const int64_t>(dims));
}

void Embedding::reset(Init, uint64_t key, const std::string& path) {
  fill_normal(weight, 1, Philox{stream_key(key, join_path(path, "weight")), 0});
}

}  // namespace graft::nn
