#include "nn/layers/attention.h"

#include "tensor/ops/attention.h"

namespace graft::nn {
namespace {

// Defaults filled in, and checked before the layers are made.
SelfAttentionOptions resolved(int64_t dim, SelfAttentionOptions o) {
  if (o.kv_heads == 0) o.kv_heads = o.heads;
  check<ShapeError>(o.heads > 0 && dim % o.heads == 0, "attention: heads: expected a divisor of {}, got {}", dim, o.heads);
  check<ShapeError>(o.kv_heads > 0 && o.heads % o.kv_heads == 0, "attention: kv_heads: expected a divisor of {} heads, got {}",
                    o.heads, o.kv_heads);
  return o;
}

int64_t qkv_columns(int64_t dim, const SelfAttentionOptions& o) { return dim + 2 * o.kv_heads * (dim / o.heads); }

}  // namespace

SelfAttention::SelfAttention(int64_t dim, const SelfAttentionOptions& options)
    : qkv(dim, qkv_columns(dim, resolved(dim, options)), {.gaussian = options.gaussian}),
      out(dim, dim, {.gaussian = options.out_gaussian}),
      options_(resolved(dim, options)) {
  add_child(options_.qkv, qkv);
  add_child(options_.out, out);
}

Tensor SelfAttention::forward_onto(const Tensor& residual, const Tensor& x) {
  check<ShapeError>(x.rank() == 3, "attention: x: expected [N, T, C], got {}", x.shape());
  return out.forward_onto(residual,
                          self_attention(qkv.forward(x), options_.heads, options_.kv_heads, {.causal = options_.causal}, lengths_));
}

int64_t SelfAttention::multiply_adds(const Shape& x) const {
  return qkv.multiply_adds(x) + out.multiply_adds(x) + 2 * x[0] * x[1] * x[1] * x[2];
}

}  // namespace graft::nn
