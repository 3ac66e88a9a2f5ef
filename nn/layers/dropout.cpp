#include "nn/layers/dropout.h"

#include "tensor/ops/dropout.h"

namespace graft::nn {

Dropout::Dropout(double p) : p_(p) { check<ConfigError>(0 <= p && p < 1, "dropout: p: expected 0 <= p < 1, got {}", p); }

Tensor Dropout::forward(const Tensor& x) {
  if (!drops()) return x;
  check<Error>(stream_.has_value(), "dropout: no random stream: call set_random(key, step) on the network before each step");
  return dropout(x, p_, *stream_);
}

}  // namespace graft::nn
