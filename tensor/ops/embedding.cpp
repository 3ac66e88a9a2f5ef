#include "tensor/ops/embedding.h"

#include "kernels/embedding/embedding.h"
#include "tensor/autograd.h"
#include "tensor/dispatch.h"

namespace graft {

Tensor embedding(const Tensor& weight, const Tensor& ids) {
  check<ShapeError>(weight.rank() == 2, "embedding: weight: expected [V, D], got {}", weight.shape());
  check<DtypeError>(ids.dtype() == DType::i64, "embedding: ids: expected i64, got {}", name(ids.dtype()));
  check<DeviceError>(ids.device() == weight.device(), "embedding: ids: expected on {}, got on {}", name(weight.device().backend),
                     name(ids.device().backend));
  check<ShapeError>(ids.rank() < Shape::kMaxRank, "embedding: ids: expected at most {} dimensions, got {}", Shape::kMaxRank - 1,
                    ids.shape());
  std::vector<int64_t> shape(ids.shape().begin(), ids.shape().end());
  shape.push_back(weight.size(1));
  const EmbeddingParams p{ids.numel(), weight.size(0), weight.size(1)};
  Tensor y = Tensor::empty(Shape(shape), weight.dtype(), weight.device());
  call<EmbeddingForward>(Op::embedding, Pass::forward, weight, y, weight, ids, p);
  record("embedding", y, {weight, ids}, [=, like = weight.detach()](const Tensor& dy, const Needs&) {
    Tensor dweight = Tensor::empty_like(like);
    call<EmbeddingBackward>(Op::embedding, Pass::backward, dy, dweight, dy, ids, p);
    return std::vector{dweight, Tensor{}};
  });
  return y;
}

}  // namespace graft
