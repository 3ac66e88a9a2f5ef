// Multi-head self-attention (Vaswani et al. 2017): y = out(attention(qkv(x))); one linear layer makes queries, keys and values.
#pragma once
#include <string>

#include "nn/layers/linear.h"

namespace graft::nn {

struct SelfAttentionOptions {
  int64_t heads = 1;
  int64_t kv_heads = 0;  // key and value heads, a divisor of heads (Ainslie et al. 2023); 0: one for each query head
  bool causal = false;
  Gaussian2014 gaussian{0.02, 0}, out_gaussian{0.02, 0};
  std::string qkv = "qkv", out = "out";  // names of the two layers
};

class SelfAttention : public Module {
 public:
  // x[N, T, dim] -> [N, T, dim]; heads divides dim (ShapeError). Keys behind set_lengths() are padding and are not read.
  SelfAttention(int64_t dim, const SelfAttentionOptions&);

  Tensor forward(const Tensor& x) override { return forward_onto({}, x); }
  Tensor forward_onto(const Tensor& residual, const Tensor& x);  // residual + forward(x)
  // With both products of attention over all T x T pairs, as is the custom for causal attention too.
  int64_t multiply_adds(const Shape& x) const override;

  // qkv.weight [(heads + 2 kv_heads) dim / heads, dim]: rows of the query heads, then of the key heads, then of the value heads.
  Linear qkv, out;

 private:
  void take_lengths(const Tensor& lengths) override { lengths_ = lengths; }
  SelfAttentionOptions options_;
  Tensor lengths_;
};

}  // namespace graft::nn
