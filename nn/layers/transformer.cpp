#include "nn/layers/transformer.h"

#include "tensor/ops/binary.h"

namespace graft::nn {

TransformerBlock::TransformerBlock(const TransformerOptions& o)
    : options_(o),
      norm1_(o.dim, o.eps),
      attention_(o.dim, {.heads = o.heads,
                         .kv_heads = o.kv_heads,
                         .causal = o.causal,
                         .gaussian = o.gaussian,
                         .out_gaussian = o.residual_gaussian,
                         .qkv = o.names.qkv,
                         .out = o.names.out}),
      norm2_(o.dim, o.eps),
      expand_(o.dim, o.hidden ? o.hidden : 4 * o.dim, {.activation = o.activation, .gaussian = o.gaussian}),
      contract_(o.hidden ? o.hidden : 4 * o.dim, o.dim, {.gaussian = o.residual_gaussian}),
      drop1_(o.dropout),
      drop2_(o.dropout) {
  add_child(o.names.norm1, norm1_);
  add_child("", attention_);
  add_child(o.names.norm2, norm2_);
  add_child(o.names.expand, expand_);
  add_child(o.names.contract, contract_);
  add_child("drop1", drop1_);
  add_child("drop2", drop2_);
}

template <class Layer>
Tensor TransformerBlock::add_onto(const Tensor& x, Layer& layer, const Tensor& z, Dropout& drop) {
  return drop.drops() ? add(x, drop.forward(layer.forward(z))) : layer.forward_onto(x, z);
}

Tensor TransformerBlock::forward(const Tensor& x) {
  if (options_.norm == NormPlace::pre) {
    const Tensor y = add_onto(x, attention_, norm1_.forward(x), drop1_);
    return add_onto(y, contract_, expand_.forward(norm2_.forward(y)), drop2_);
  }
  const Tensor y = norm1_.forward(add_onto(x, attention_, x, drop1_));
  return norm2_.forward(add_onto(y, contract_, expand_.forward(y), drop2_));
}

int64_t TransformerBlock::multiply_adds(const Shape& x) const {
  return attention_.multiply_adds(x) + expand_.multiply_adds(x) + contract_.multiply_adds(expand_.output_shape(x));
}

}  // namespace graft::nn
