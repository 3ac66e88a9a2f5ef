#pragma once
#include "tensor/tensor.h"

namespace graft {

struct AttentionOptions {
  bool causal = false;  // a query sees no key behind its own place
  int64_t window = 0;   // only keys less than this many places away; 0: all
  double scale = 0;     // of q . k; 0: 1 / sqrt(D)
};

// softmax(scale q k^T) v per head: q[B, Tq, H, D], k, v[B, Tk, Hkv, D] with Hkv a divisor of H -> [B, Tq, H, D]. Query i stands
// at place i + Tk - Tq, so the last query is level with the last key. lengths i64[B], or undefined: keys of each sample that
// are no padding, 0 to Tk (ShapeError where the host can read them). A query that sees no key gives zeros and gets no gradient.
// Differentiable in q, k and v (kernels/attention/attention.h).
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions options = {}, const Tensor& lengths = {});

// The same of one tensor, as one linear layer makes it: qkv[B, T, (H + 2 Hkv) D] holds the H query heads of a token, then its
// Hkv key heads, then its Hkv value heads -> [B, T, H D]. Neither they nor their gradients are copied.
Tensor self_attention(const Tensor& qkv, int64_t heads, int64_t kv_heads, AttentionOptions options = {},
                      const Tensor& lengths = {});

}  // namespace graft
